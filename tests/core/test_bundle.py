import base64
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.bundle import Bundle, is_safe_path, load_bundle
from core.errors import BundleError, ProbeError, TussisError
from core.signing import PublicKey, TrustPolicy

WriteBundle = Callable[..., Path]


def relist(folder: Path, relative: str, content: bytes) -> None:
    """Write a file into a bundle and list it with its true SHA-256."""
    (folder / relative).parent.mkdir(parents=True, exist_ok=True)
    (folder / relative).write_bytes(content)
    fields = json.loads((folder / "bundle.json").read_text())
    fields["files"][relative] = hashlib.sha256(content).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(fields))


def set_field(path: str, value: object) -> Callable[[dict], None]:
    """An edit of bundle.json: the field at a dotted path becomes `value`."""

    def edit(fields: dict) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            fields = fields[parent]
        fields[last] = value

    return edit


def test_a_bundle_is_read_with_its_settings_and_probes(
    write_bundle: WriteBundle, probe_content: Callable[..., dict]
) -> None:
    folder = write_bundle(probes=(probe_content("tb"), probe_content("fev1", status="demonstration")))
    bundle = load_bundle(folder)
    assert (bundle.name, bundle.format_version, bundle.event_labels[0]) == ("test bundle", 1, "cough")
    assert (bundle.screening.hop_s, bundle.screening.event_thresholds["cry"]) == (1.0, 0.5)
    assert [(probe.name, probe.status) for probe in bundle.probes] == [("fev1", "demonstration"), ("tb", "research")]
    assert bundle.sha256 == hashlib.sha256((folder / "bundle.json").read_bytes()).hexdigest()
    assert bundle.read_model() == (folder / "model.tflite").read_bytes()
    assert bundle.provenance == {"student": "none"}


def test_the_default_bundle_is_whole_and_its_medical_probes_are_demonstrations(default_bundle: Bundle) -> None:
    assert load_bundle(None).sha256 == default_bundle.sha256
    assert len(default_bundle.event_labels) == 8
    assert {probe.status for probe in default_bundle.probes} == {"demonstration"}


@pytest.mark.parametrize("name", ["model.tflite", "probes/tb.json"])
def test_an_altered_file_is_named(write_bundle: WriteBundle, probe_content: Callable[..., dict], name: str) -> None:
    folder = write_bundle(probes=(probe_content("tb"),))
    with (folder / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(BundleError, match=f"{name} was altered"):
        load_bundle(folder)


def test_a_model_altered_after_the_bundle_was_opened_is_refused(write_bundle: WriteBundle) -> None:
    bundle = load_bundle(write_bundle())
    bundle.model_path.write_bytes(b"another model")
    with pytest.raises(BundleError, match=r"model\.tflite was altered"):
        bundle.read_model()


def test_a_missing_file_is_named(write_bundle: WriteBundle) -> None:
    folder = write_bundle()
    (folder / "model.tflite").unlink()
    with pytest.raises(BundleError, match=r"model\.tflite is missing"):
        load_bundle(folder)


def test_what_is_no_bundle_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="there is no such bundle folder"):
        load_bundle(tmp_path / "gone")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BundleError, match="is not a folder"):
        load_bundle(tmp_path / "file")
    with pytest.raises(BundleError, match=r"bundle\.json is missing"):
        load_bundle(tmp_path)


@pytest.mark.parametrize("version", [2, 17, 10**30])
def test_a_future_format_is_refused_as_such_whatever_else_it_holds(write_bundle: WriteBundle, version: int) -> None:
    def edit(fields: dict) -> None:
        fields.clear()
        fields["format_version"] = version

    with pytest.raises(
        BundleError, match=r"is of bundle format version .* this Tussis knows version 1; install a newer"
    ):
        load_bundle(write_bundle(edit=edit))


@pytest.mark.parametrize(
    "relative", ["../x", "/etc/hostname", "a/../../x", "a//b", "./a", "..", "", "a\\b", "c:x", "a\0b", "a\nb"]
)
def test_a_path_that_is_not_plainly_inside_the_bundle_is_refused(write_bundle: WriteBundle, relative: str) -> None:
    folder = write_bundle(edit=lambda fields: fields["files"].update({relative: "0" * 64}))
    with pytest.raises(BundleError, match="expected a path inside the bundle"):
        load_bundle(folder)


@given(st.text(max_size=30))
def test_a_safe_path_stays_inside_its_folder(relative: str) -> None:
    if is_safe_path(relative):
        assert Path(os.path.normpath(f"/bundle/{relative}")) == Path("/bundle") / relative
        assert Path("/bundle") in Path(os.path.normpath(f"/bundle/{relative}")).parents


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_a_link_that_leads_out_of_the_bundle_is_refused(write_bundle: WriteBundle, tmp_path: Path, linked: str) -> None:
    folder, outside = write_bundle(), tmp_path / "outside"
    relist(folder, "extra/notes.txt", b"notes")
    outside.mkdir()
    (outside / "notes.txt").write_bytes(b"notes")
    (folder / "extra/notes.txt").unlink()
    if linked == "file":
        (folder / "extra/notes.txt").symlink_to(outside / "notes.txt")
    else:
        (folder / "extra").rmdir()
        (folder / "extra").symlink_to(outside)
    with pytest.raises(BundleError, match=r"extra/notes\.txt leads out of the bundle"):
        load_bundle(folder)


def test_a_loop_of_links_and_a_pipe_are_refused(write_bundle: WriteBundle) -> None:
    folder = write_bundle()
    (folder / "model.tflite").unlink()
    os.mkfifo(folder / "model.tflite")
    with pytest.raises(BundleError, match="is not a regular file"):
        load_bundle(folder)
    (folder / "model.tflite").unlink()
    (folder / "model.tflite").symlink_to("model.tflite")
    with pytest.raises(BundleError, match=r"model\.tflite"):
        load_bundle(folder)


def test_a_file_over_the_size_limit_is_refused_without_reading_it(write_bundle: WriteBundle) -> None:
    folder = write_bundle()
    with (folder / "model.tflite").open("wb") as file:
        file.truncate(64 * 2**20 + 1)
    with pytest.raises(BundleError, match="has 67108865 bytes; expected at most 67108864"):
        load_bundle(folder)


def test_a_probe_that_is_not_listed_is_refused_and_another_unlisted_file_is_not_read(write_bundle: WriteBundle) -> None:
    folder = write_bundle()
    (folder / "notes.txt").write_text("hello")
    assert load_bundle(folder).probes == ()
    (folder / "probes").mkdir()
    (folder / "probes" / "tb.json").write_text("{}")
    with pytest.raises(BundleError, match=r"probes/tb\.json is not listed in bundle\.json"):
        load_bundle(folder)


@pytest.mark.parametrize("relative", ["probes/readme.txt", "probes/deep/tb.json"])
def test_a_listed_file_under_probes_that_is_no_probe_is_refused(write_bundle: WriteBundle, relative: str) -> None:
    folder = write_bundle()
    relist(folder, relative, b"{}")
    with pytest.raises(TussisError, match=r"probes/(readme\.txt|deep)"):
        load_bundle(folder)


def test_a_probe_that_cannot_be_used_is_named(write_bundle: WriteBundle, probe_content: Callable[..., dict]) -> None:
    with pytest.raises(
        ProbeError, match=r'probes/tb\.json: "format_version" is 3; expected a whole number from 1 to 2'
    ):
        load_bundle(write_bundle(probes=(probe_content("tb", format_version=3),)))


def test_a_probe_fitted_on_another_models_embedding_is_refused(
    write_bundle: WriteBundle, lung_probe_content: Callable[..., dict]
) -> None:
    sentence = r"probes/lungs\.json was fitted on the embedding of model 000000000000; the bundle's model is "
    with pytest.raises(ProbeError, match=sentence):
        load_bundle(write_bundle(probes=(lung_probe_content(),)))


def test_a_probe_for_an_event_that_the_model_does_not_know_is_refused(
    write_bundle: WriteBundle, probe_content: Callable[..., dict]
) -> None:
    clips = {"event": "hiccup", "min_probability": 0.5, "min_clips": 1, "pooling": "mean"}
    with pytest.raises(ProbeError, match=r"probes/tb\.json selects clips by hiccup; the model knows cough, snore"):
        load_bundle(write_bundle(probes=(probe_content("tb", clips=clips),)))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not valid JSON"),
        (b"{", "is not valid JSON"),
        (b"[]", "the file holds a list of 0; expected an object"),
        (b'"x"', 'the file holds "x"'),
        (b"\xff\xfe{}", "is not valid JSON"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"name": 1, "name": 2}', 'the key "name" stands twice'),
        (b"[" * 100_000, "is not valid JSON"),
        (b'{"format_version": ' + b"9" * 5000 + b"}", r"bundle\.json"),
        (b'{"format_version": true}', '"format_version" is true; expected 1'),
        (b'{"format_version": "1"}', '"format_version" is "1"; expected 1'),
        (b"{}", '"format_version" is missing; expected 1'),
    ],
)
def test_a_bundle_json_that_is_not_one_is_refused(write_bundle: WriteBundle, content: bytes, sentence: str) -> None:
    folder = write_bundle()
    (folder / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError, match=rf"bundle\.json.*{sentence}|{sentence}"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("name", "a\nb", '"name" is "a\\\\nb"; expected a printable line'),
        ("model.file", "other.tflite", '"model.file" is "other.tflite"; expected one of the paths'),
        ("model.file", "../model.tflite", "expected one of the paths"),
        ("model.sha256", "0" * 64, 'expected the same as in "files"'),
        ("model.signature", "serve", '"model.signature" is "serve"; expected "screen"'),
        ("model.sample_rate_hz", 44100, '"model.sample_rate_hz" is 44100; expected 16000'),
        ("model.embedding_size", 256, "expected 512"),
        ("model.event_labels", ["snore"], 'with "cough" among them'),
        ("model.event_labels", ["cough", "cough"], "different labels"),
        ("model.event_labels", ["cough", 3], "holds 3; expected a short word"),
        ("model.activity_frame_step_s", 0.02, "expected 0.04 s"),
        ("screening.hop_s", 0, '"screening.hop_s" is 0; expected a number from 0.04 to 2 s'),
        ("screening.hop_s", 0.05, "a multiple of the activity frame step of 0.04 s"),
        ("screening.event_pooling", "mean", 'expected "max"'),
        ("screening.event_thresholds", {"cough": 0.5}, 'event_thresholds.snore" is missing'),
        ("screening.event_thresholds.sigh", 0.5, 'a threshold for "sigh", which is no event label'),
        ("screening.cough_off_probability", 0.9, "expected a number from 0 to 0.5"),
        ("screening.min_event_s", 0.7, "expected a number from 0 to 0.6 s"),
        ("screening.joint_track", "joint", "expected an object"),
        ("screening.joint_track", {"activity": 1, "cough": -1, "bias": 0}, "joint_track.cough"),
        ("screening.joint_track", {"activity": 1, "cough": 1}, '"screening.joint_track.bias" is missing'),
        ("files", {}, "expected one of the paths"),
        ("files", [], '"files" is a list of 0; expected an object'),
        ("provenance", None, '"provenance" is null; expected an object'),
    ],
)
def test_a_wrong_field_is_refused_with_what_was_expected(
    write_bundle: WriteBundle, path: str, value: object, sentence: str
) -> None:
    with pytest.raises(BundleError, match=sentence):
        load_bundle(write_bundle(edit=set_field(path, value)))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = [
    ("format_version",), ("name",), ("created_utc",), ("model",), ("screening",), ("files",), ("provenance",),
    *[("model", key) for key in ("file", "sha256", "signature", "clip_samples", "event_labels", "n_activity_frames")],
    *[("screening", key) for key in ("hop_s", "event_thresholds", "min_event_s", "max_event_s", "merge_gap_s")],
    ("files", "model.tflite"), ("screening", "event_thresholds", "cough"),
]  # fmt: skip


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_a_bundle_with_any_field_replaced_or_removed_is_read_or_refused_with_a_sentence(
    write_bundle: WriteBundle, data: st.DataObject
) -> None:
    *parents, last = data.draw(st.sampled_from(FIELDS))
    value = data.draw(json_values)
    remove = data.draw(st.booleans())

    def edit(fields: dict) -> None:
        for parent in parents:
            fields = fields[parent]
        fields[last] = value
        if remove:
            del fields[last]

    check_read_or_refused(write_bundle(edit=edit))


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(place=st.integers(0, 2000), replacement=st.binary(max_size=4), n_removed=st.integers(0, 8))
def test_a_bundle_json_with_any_bytes_replaced_is_read_or_refused_with_a_sentence(
    write_bundle: WriteBundle, place: int, replacement: bytes, n_removed: int
) -> None:
    folder = write_bundle()
    content = (folder / "bundle.json").read_bytes()
    (folder / "bundle.json").write_bytes(content[:place] + replacement + content[place + n_removed :])
    check_read_or_refused(folder)


def check_read_or_refused(folder: Path) -> None:
    try:
        bundle = load_bundle(folder)
    except BundleError as error:
        assert str(folder) in str(error)
        assert str(error).isprintable()
    else:
        assert bundle.event_labels


def test_a_bundle_of_many_probes_is_refused_before_any_is_read(
    write_bundle: WriteBundle, probe_content: Callable[..., dict]
) -> None:
    probes = [probe_content(f"p{number:02d}") for number in range(17)]
    assert len(load_bundle(write_bundle(probes=probes[:16])).probes) == 16
    with pytest.raises(BundleError, match="holds 17 probes; expected at most 16"):
        load_bundle(write_bundle(probes=probes))


def test_a_probe_of_megabytes_is_refused_without_reading_it(
    write_bundle: WriteBundle, probe_content: Callable[..., dict]
) -> None:
    folder = write_bundle(probes=(probe_content("tb"),))
    relist(folder, "probes/tb.json", b" " * 300_000)
    with pytest.raises(BundleError, match=r"tb\.json has 300000 bytes; expected at most 262144"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("notes/a.txt", "notes/A.txt"),
        ("caf\u00e9", "cafe\u0301"),
        ("stra\u00dfe", "strasse"),
        ("a", "a/b"),
        ("A/b", "a"),
        ("x", "Bundle.json"),
        ("x", "signature"),
        ("x", "SIGNATURE"),
        ("x", "bundle.json/y"),
    ],
)
def test_names_that_are_one_file_on_another_system_are_refused(
    write_bundle: WriteBundle, first: str, second: str
) -> None:
    folder = write_bundle()
    fields = json.loads((folder / "bundle.json").read_text())
    fields["files"] |= dict.fromkeys((first, second), "0" * 64)
    (folder / "bundle.json").write_text(json.dumps(fields))
    with pytest.raises(BundleError, match=r"lists .* beside .*, which are one file on some systems\."):
        load_bundle(folder)


@pytest.mark.parametrize(
    "name", ["con", "a/NUL.txt", "COM1", "lpt9.md", "x ", "x./y", "a<b", "what?", "a|b", 'say"', "*"]
)
def test_a_name_that_another_system_keeps_for_itself_is_not_plain(name: str) -> None:
    assert not is_safe_path(name)
    assert all(map(is_safe_path, ("console", "com", "com10", "nulls/x", "a b", ".x", "probes/tb.json")))


def test_a_probe_is_validated_only_where_a_trusted_key_signed_the_bundle(
    write_bundle: WriteBundle, probe_content: Callable[..., dict]
) -> None:
    folder = write_bundle(probes=(probe_content("tb", status="validated"), probe_content("fev1")))
    key = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
    signer = PublicKey(key.public_key().public_bytes_raw())

    def statuses(trust: TrustPolicy) -> list[str]:
        return [probe.status for probe in load_bundle(folder, trust).probes]

    assert statuses(TrustPolicy()) == ["research", "unverified"]
    value = base64.b64encode(key.sign((folder / "bundle.json").read_bytes())).decode()
    fields = {"schema": "tussis.signature/1", "signer": signer.line, "signature": value}
    (folder / "SIGNATURE").write_text(json.dumps(fields))
    assert statuses(TrustPolicy(require_signature=True)) == ["research", "unverified"]
    assert statuses(TrustPolicy(trusted_keys=frozenset({signer}))) == ["research", "validated"]
