import io
import json
import os
import stat
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.audio import write_wav
from core.bundle import Bundle, load_bundle
from core.bundle_files import MAX_ARCHIVE_BYTES, archive_content
from core.errors import BundleError
from core.screen_command import main

WriteBundle = Callable[..., Path]
WriteArchive = Callable[[bytes], Path]
Member = tuple[str | zipfile.ZipInfo, bytes]


def contents_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def zipped(members: list[Member], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of these members, as the standard library writes it, names twice and all."""
    content = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(content, "w", method) as archive:
        warnings.simplefilter("ignore")
        for name, data in members:
            archive.writestr(name, data)
    return content.getvalue()


@pytest.fixture
def folder(write_bundle: WriteBundle, probe_content: Callable[..., dict]) -> Path:
    return write_bundle(probes=(probe_content("tb"),))


@pytest.fixture
def members(folder: Path) -> list[Member]:
    return list(contents_of(folder).items())


@pytest.fixture
def archive(tmp_path: Path) -> WriteArchive:
    def write(content: bytes) -> Path:
        path = tmp_path / "small.tussis"
        path.write_bytes(content)
        return path

    return write


def test_a_bundle_in_one_file_is_the_same_bundle(folder: Path, archive: WriteArchive) -> None:
    in_folder, in_file = load_bundle(folder), load_bundle(archive(archive_content(contents_of(folder))))
    assert (in_file.sha256, in_file.screening) == (in_folder.sha256, in_folder.screening)
    assert [probe.name for probe in in_file.probes] == ["tb"]
    assert in_file.read_model() == in_folder.read_model() == (folder / "model.tflite").read_bytes()
    assert in_file.read_files() == in_folder.read_files() == contents_of(folder)


def test_the_same_files_give_the_same_bytes_in_any_order_at_any_time(folder: Path) -> None:
    files = contents_of(folder)
    content = archive_content(files)
    assert archive_content(dict(reversed(files.items()))) == content
    infos = zipfile.ZipFile(io.BytesIO(content)).infolist()
    assert [info.filename for info in infos] == ["bundle.json", "model.tflite", "probes/tb.json"]
    fixed = {((1980, 1, 1, 0, 0, 0), stat.S_IFREG | 0o644, zipfile.ZIP_STORED)}
    assert {(info.date_time, info.external_attr >> 16, info.compress_type) for info in infos} == fixed


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_of_another_program_is_read(members: list[Member], archive: WriteArchive, method: int) -> None:
    assert load_bundle(archive(zipped([("probes/", b""), *members], method))).probes[0].name == "tb"


def of_kind(kind: int, name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (kind | 0o644) << 16
    return info


@pytest.mark.parametrize(
    ("added", "sentence"),
    [
        (("../evil.txt", b""), r'holds the file "\.\./evil\.txt"; expected a path inside the bundle'),
        (("probes/../../evil.txt", b""), "expected a path inside the bundle"),
        (("/etc/passwd", b""), r'holds the file "/etc/passwd"; expected a path inside the bundle'),
        (("c:evil.txt", b""), "expected a path inside the bundle"),
        (("a\\b", b""), "expected a path inside the bundle"),
        (("a//b", b""), "expected a path inside the bundle"),
        (("/", b""), "expected a path inside the bundle"),
        (("model.tflite", b"another"), r"model\.tflite stands 2 times in the archive"),
        (("bundle.json", b"{}"), r"bundle\.json stands 2 times in the archive"),
        (("notes.txt", b"hello"), r"notes\.txt is not listed in bundle\.json"),
        (("probes/other.json", b"{}"), r"probes/other\.json is not listed in bundle\.json"),
        (("empty/", b""), "empty is not listed in bundle.json"),
        (("folder/", b"content"), "folder has 7 bytes; expected at most 0"),
        ((of_kind(stat.S_IFLNK, "notes.txt"), b"/etc/passwd"), r"notes\.txt is a link; expected a regular file"),
        ((of_kind(stat.S_IFIFO, "notes.txt"), b""), r"notes\.txt is not a regular file"),
        (("big.bin", bytes(64 * 2**20 + 1)), "big.bin has 67108865 bytes; expected at most 67108864"),
    ],
)
def test_what_no_bundle_holds_is_refused_by_name(
    members: list[Member], archive: WriteArchive, added: Member, sentence: str
) -> None:
    path = archive(zipped([*members, added], zipfile.ZIP_DEFLATED))
    with pytest.raises(BundleError, match=sentence) as refused:
        load_bundle(path)
    assert str(path) in str(refused.value)


def directory_entry(content: bytes, name: bytes) -> int:
    """Where the central directory's entry of a file begins."""
    return content.rindex(name) - 46


def changed(content: bytes, at: int, form: str, value: int) -> bytes:
    return content[:at] + struct.pack(form, value) + content[at + struct.calcsize(form) :]


@pytest.mark.parametrize(
    ("offset", "form", "value", "sentence"),
    [
        (8, "<H", 1, r"model\.tflite is encrypted"),
        (10, "<H", 14, r"model\.tflite is compressed by method 14; expected stored or deflated"),
        (16, "<I", 0, r"model\.tflite cannot be read from the archive \(Bad CRC-32"),
        (24, "<I", 2**31, r"model\.tflite has 2147483648 bytes; expected at most 67108864"),
        (24, "<I", 2**20, r"model\.tflite (has|cannot)"),
        (24, "<I", 3, r"model\.tflite (was altered|cannot)"),
        (42, "<I", 10**6, r"model\.tflite cannot be read"),
    ],
)
def test_a_file_of_which_the_directory_says_something_else_is_refused_by_name(
    members: list[Member], archive: WriteArchive, offset: int, form: str, value: int, sentence: str
) -> None:
    content = archive_content(dict(members))
    path = archive(changed(content, directory_entry(content, b"model.tflite") + offset, form, value))
    with pytest.raises(BundleError, match=sentence):
        load_bundle(path)


@contextmanager
def most_memory(limit_bytes: int) -> Iterator[None]:
    """Check that what is done inside never holds more than that."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit_bytes
    finally:
        tracemalloc.stop()


def test_a_bomb_is_refused_before_it_is_unpacked(members: list[Member], archive: WriteArchive) -> None:
    content = zipped([*members, *((f"zeros{n}", b"") for n in range(5))])
    for n in range(5):
        content = changed(content, directory_entry(content, f"zeros{n}".encode()) + 24, "<I", 60 * 2**20)
    path = archive(content)
    refusal = pytest.raises(BundleError, match=rf"unpacks to 314\d+ bytes; expected at most {MAX_ARCHIVE_BYTES}")
    with most_memory(2**20), refusal:
        load_bundle(path)


def test_a_listed_bomb_is_hashed_in_pieces_and_never_held(members: list[Member], archive) -> None:
    path = archive(zipped(list({**dict(members), "model.tflite": bytes(32 * 2**20)}.items()), zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < 2**18
    with most_memory(8 * 2**20), pytest.raises(BundleError, match=r"model\.tflite was altered"):
        load_bundle(path)


def test_too_many_files_and_a_huge_directory_are_refused(members: list[Member], archive) -> None:
    with pytest.raises(BundleError, match="holds 1103 files; expected at most 1002"):
        load_bundle(archive(zipped([*members, *((f"f{n}", b"") for n in range(1100))])))
    many = zipped([(f"{n:0200d}", b"") for n in range(5000)])
    with pytest.raises(BundleError, match=r"its directory has 1\d+ bytes; expected at most 1048576"):
        load_bundle(archive(many))


def test_a_zip64_and_an_archive_over_the_limit_are_refused(members: list[Member], archive) -> None:
    content = archive_content(dict(members))
    end = len(content) - 22
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, 0, 1)
    with pytest.raises(BundleError, match="zip64"):
        load_bundle(archive(content[:end] + locator + content[end:]))
    path = archive(b"")
    os.truncate(path, MAX_ARCHIVE_BYTES + 1)
    with pytest.raises(BundleError, match=f"has {MAX_ARCHIVE_BYTES + 1} bytes"):
        load_bundle(path)


def test_an_archive_of_a_folder_instead_of_its_files_is_refused(members: list[Member], archive) -> None:
    with pytest.raises(BundleError, match=r"small\.tussis/bundle\.json is missing"):
        load_bundle(archive(zipped([(f"bundle/{name}", data) for name, data in members])))


def test_an_archive_altered_after_it_was_opened_is_refused(members: list[Member], archive) -> None:
    path = archive(archive_content(dict(members)))
    bundle = load_bundle(path)
    archive(archive_content({**dict(members), "model.tflite": b"another model"}))
    with pytest.raises(BundleError, match=r"model\.tflite was altered"):
        bundle.read_model()


def check_read_or_refused(path: Path) -> None:
    try:
        bundle = load_bundle(path)
    except BundleError as error:
        assert str(path) in str(error)
        assert str(error).isprintable()
    else:
        assert bundle.event_labels


FUZZ = hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@FUZZ
@given(
    content=st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: b"PK\3\4" + tail + b"PK\5\6" + bytes(18))
)
@example(content=b"PK\5\6" + bytes(18))
def test_any_bytes_are_refused_with_a_sentence(archive: WriteArchive, content: bytes) -> None:
    with pytest.raises(BundleError, match=r"small\.tussis"):
        load_bundle(archive(content))


@FUZZ
@given(
    place=st.floats(0, 1),
    replacement=st.binary(max_size=6),
    n_removed=st.integers(0, 8),
    near_the_end=st.booleans(),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
)
def test_a_zip_with_any_bytes_replaced_is_read_or_refused_with_a_sentence(
    write_bundle: WriteBundle,
    archive,
    place: float,
    replacement: bytes,
    n_removed: int,
    near_the_end: bool,
    method: int,
) -> None:
    content = zipped(list(contents_of(write_bundle()).items()), method)
    first = len(content) - 150 if near_the_end else 0  # where the directory lies
    at = first + int(place * (len(content) - first))
    check_read_or_refused(archive(content[:at] + replacement + content[at + n_removed :]))


@FUZZ
@given(
    entries=st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=20), st.integers(0, 2**32 - 1)), max_size=4),
    flags=st.integers(0, 2**16 - 1),
)
def test_a_zip_of_any_names_attributes_and_flags_is_read_or_refused_with_a_sentence(
    write_bundle: WriteBundle, archive, entries: list[tuple[str, bytes, int]], flags: int
) -> None:
    members: list[Member] = list(contents_of(write_bundle()).items())
    for name, data, attributes in entries:
        info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode() or "x")
        info.external_attr = attributes
        members.append((info, data))
    content = zipped(members)
    check_read_or_refused(archive(changed(content, directory_entry(content, b"model.tflite") + 8, "<H", flags)))


def test_the_model_is_held_once_and_only_when_it_is_run(write_bundle: WriteBundle, archive: WriteArchive) -> None:
    n_bytes = 16 * 2**20
    path = archive(archive_content(contents_of(write_bundle(model=os.urandom(n_bytes)))))
    with most_memory(4 * 2**20):
        bundle = load_bundle(path)
    with most_memory(n_bytes + 2**20):
        assert len(bundle.read_model()) == n_bytes


def test_a_command_screens_the_same_with_a_bundle_in_one_file(
    default_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], coughs_in_noise: np.ndarray
) -> None:
    write_wav(tmp_path / "a.wav", coughs_in_noise)
    (tmp_path / "small.tussis").write_bytes(archive_content(contents_of(default_bundle.path)))
    results = []
    for bundle in (default_bundle.path, tmp_path / "small.tussis"):
        options = ["--bundle", str(bundle), "--json", str(tmp_path / "out.json")]
        assert main([str(tmp_path / "a.wav"), *options]) == 0
        (result,) = json.loads((tmp_path / "out.json").read_text())["recordings"]
        results.append({**result, "timing_ms": None})
    assert results[0] == results[1]
    assert "bundle      unsigned" in capsys.readouterr().out


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (b"#!/bin/sh\n", b"", "holds something before the zip"),
        (b"", b"%PDF-1.7\n", "holds something after the zip"),
        (b"MZ", b"\0" * 70_000, "not a zip"),
    ],
)
def test_a_zip_that_is_something_else_too_is_refused(
    members: list[Member], archive: WriteArchive, method: int, before: bytes, after: bytes, sentence: str
) -> None:
    with pytest.raises(BundleError, match=sentence):
        load_bundle(archive(before + zipped(members, method) + after))


def test_a_comment_and_offsets_that_count_what_stands_before_are_refused(
    members: list[Member], archive: WriteArchive
) -> None:
    content = io.BytesIO()
    content.write(b"#!/bin/sh\n")
    with zipfile.ZipFile(content, "a") as appended:
        for name, data in members:
            appended.writestr(name, data)
    with pytest.raises(BundleError, match="holds something before the zip"):
        load_bundle(archive(content.getvalue()))
    with zipfile.ZipFile(content, "a") as appended:
        appended.comment = b"a comment"
    with pytest.raises(BundleError, match="holds something after the zip"):
        load_bundle(archive(content.getvalue()))


@pytest.mark.parametrize("claimed_bytes", [2**31 - 1, 2**27])
def test_a_compressed_size_that_would_be_allocated_at_once_is_refused(
    members: list[Member], archive: WriteArchive, claimed_bytes: int
) -> None:
    content = zipped(members, zipfile.ZIP_DEFLATED)
    at = directory_entry(content, b"model.tflite") + 20
    with pytest.raises(BundleError, match=rf"model\.tflite has {claimed_bytes} bytes; expected at most 67108864"):
        load_bundle(archive(changed(content, at, "<I", claimed_bytes)))
