import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.bundle import load_bundle
from core.bundle_files import archive_content
from core.errors import BundleError, SigningError
from core.screen_command import main
from core.signing import PublicKey, TrustPolicy, parse_public_key, read_trust

ROOT = Path(__file__).parents[2]
KEY, OTHER_KEY = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))

WITHOUT_THE_LIBRARY = """
import sys
sys.modules["cryptography"] = None
from pathlib import Path
from core.bundle import load_bundle
from core.errors import BundleError
from core.signing import TrustPolicy
print(load_bundle(Path(sys.argv[1])).signature.words)
try:
    load_bundle(Path(sys.argv[1]), TrustPolicy(require_signature=True))
except BundleError as error:
    print(error)
"""


def public(key: Ed25519PrivateKey) -> PublicKey:
    return PublicKey(key.public_key().public_bytes_raw())


def signed(folder: Path, key: Ed25519PrivateKey = KEY, **changes: object) -> Path:
    """Put a SIGNATURE into a bundle folder, some of its fields changed."""
    value = base64.b64encode(key.sign((folder / "bundle.json").read_bytes())).decode()
    fields = {"schema": "tussis.signature/1", "signer": public(key).line, "signature": value, **changes}
    (folder / "SIGNATURE").write_text(json.dumps(fields))
    return folder


@pytest.fixture
def folder(write_bundle: Callable[..., Path]) -> Path:
    return write_bundle()


def test_a_public_key_is_written_as_openssh_does() -> None:
    line = KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    assert public(KEY).line == line
    assert parse_public_key(f"{line} somebody's laptop", "a") == public(KEY)
    # ssh-keygen -lf of that line
    assert public(KEY).fingerprint == "SHA256:fe85JkIjo8VPe+XqXJGH5Mau1EMFdK1OdKvJUFicyA8"


def test_a_signed_bundle_says_who_signed_it_in_a_folder_and_in_a_file(folder: Path, tmp_path: Path) -> None:
    assert load_bundle(folder).signature.words == "unsigned"
    signed(folder)
    (tmp_path / "small.tussis").write_bytes(archive_content(load_bundle(folder).read_files()))
    for path in (folder, tmp_path / "small.tussis"):
        signature = load_bundle(path).signature
        assert signature.words == f"signed by {public(KEY).fingerprint}"
        assert (signature.is_verified, signature.is_trusted) == (True, False)
    trusted = TrustPolicy(trusted_keys=frozenset({public(KEY), public(OTHER_KEY)}))
    assert load_bundle(folder, trusted).signature.words.endswith(", a trusted key")


def test_an_altered_bundle_json_is_refused_by_name_even_where_its_hashes_fit(folder: Path) -> None:
    signed(folder)
    content = (folder / "bundle.json").read_text()
    (folder / "bundle.json").write_text(content.replace("test bundle", "best bundle"))
    with pytest.raises(BundleError, match=r"bundle\.json is not what was signed: the signature by SHA256:\S+ does not"):
        load_bundle(folder)


def test_a_signature_by_another_key_than_it_says_is_refused(folder: Path) -> None:
    signed(folder, OTHER_KEY, signer=public(KEY).line)
    with pytest.raises(BundleError, match="is not what was signed"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"schema": "tussis.signature/2"}, r'SIGNATURE: "schema" is "tussis\.signature/2"'),
        ({"signature": "AAAA"}, r'SIGNATURE: "signature" is "AAAA"; expected 64 bytes in base64'),
        ({"signature": "*"}, "expected 64 bytes in base64"),
        ({"signature": base64.b64encode(bytes(64)).decode()}, "is not what was signed"),
        ({"signer": "ssh-rsa AAAA"}, 'SIGNATURE: "signer" is not an Ed25519 public key'),
        ({"signer": public(KEY).line[:-4]}, "is not an Ed25519 public key"),
        ({"signer": "ü"}, "is not an Ed25519 public key"),
        ({"signer": None}, '"signer" is null'),
    ],
)
def test_a_signature_that_is_none_is_refused_with_what_was_expected(folder: Path, changes: dict, sentence: str) -> None:
    with pytest.raises(BundleError, match=sentence):
        load_bundle(signed(folder, **changes))


def test_a_policy_refuses_the_unsigned_and_those_whom_nobody_trusts(folder: Path) -> None:
    trusting = TrustPolicy(trusted_keys=frozenset({public(KEY)}))
    for policy in (TrustPolicy(require_signature=True), trusting):
        with pytest.raises(BundleError, match="bundle is not signed; expected a signature"):
            load_bundle(folder, policy)
    signed(folder, OTHER_KEY)
    assert load_bundle(folder, TrustPolicy(require_signature=True)).signature.signer == public(OTHER_KEY)
    names = f"is signed by {public(OTHER_KEY).fingerprint}; expected a signature by {public(KEY).fingerprint}"
    with pytest.raises(BundleError) as refused:
        load_bundle(folder, trusting)
    assert names in str(refused.value)


def test_trusted_keys_are_read_one_a_line_with_comments(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"# those we trust\n\n{public(KEY).line} lab\n{public(OTHER_KEY).line}\n")
    assert read_trust(False, [tmp_path / "keys"]).trusted_keys == {public(KEY), public(OTHER_KEY)}
    assert read_trust(True, []) == TrustPolicy(require_signature=True)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "keys holds no key"),
        (b"# nobody\n", "keys holds no key"),
        (b"ssh-rsa AAAA\n", "line 1 of .*keys is not an Ed25519 public key"),
        (b"\n-----BEGIN PRIVATE KEY-----\nSECRET\n", "line 2 of .*keys is not an Ed25519 public key"),
        (b"\xff\xfe", "line 1 of .*keys is not"),
        (b"x" * 70_000, "has more than 65536 bytes"),
    ],
)
def test_a_file_without_keys_never_means_that_everybody_is_trusted(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    (tmp_path / "keys").write_bytes(content)
    with pytest.raises(SigningError, match=sentence) as refused:
        read_trust(False, [tmp_path / "keys"])
    assert "SECRET" not in str(refused.value)
    with pytest.raises(SigningError, match="gone cannot be read"):
        read_trust(False, [tmp_path / "gone"])


def test_without_the_library_a_signature_is_shown_as_not_verified_and_never_passes_as_one(folder: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_LIBRARY, signed(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    shown, refused = ended.stdout.splitlines()
    assert shown.startswith(f"said to be signed by {public(KEY).fingerprint}, which was not verified")
    assert refused.startswith(f"the signature of {folder} cannot be verified: the Python package cryptography")


def test_the_library_is_not_imported_for_an_unsigned_bundle(folder: Path) -> None:
    script = "import sys; from core.bundle import load_bundle; load_bundle(sys.argv[1])"
    script += "; print('cryptography' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", script, folder], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(place=st.floats(0, 1), replacement=st.binary(max_size=4), n_removed=st.integers(0, 8))
def test_a_signature_with_any_bytes_replaced_is_read_or_refused_with_a_sentence(
    write_bundle: Callable[..., Path], place: float, replacement: bytes, n_removed: int
) -> None:
    folder = signed(write_bundle())
    content = (folder / "SIGNATURE").read_bytes()
    at = int(place * len(content))
    (folder / "SIGNATURE").write_bytes(content[:at] + replacement + content[at + n_removed :])
    try:
        assert load_bundle(folder).signature.signer == public(KEY)
    except BundleError as error:
        assert str(folder) in str(error)
        assert str(error).isprintable()


def test_the_command_refuses_a_bundle_by_its_policy_before_any_recording(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keys").write_text(public(OTHER_KEY).line)
    command = [str(tmp_path / "gone.wav"), "--bundle", str(folder)]
    refusals = {
        "is not signed": ["--require-signature"],
        "keyless cannot be read": ["--trusted", str(tmp_path / "keyless")],
    }
    for sentence, options in refusals.items():
        with pytest.raises(SystemExit, match="2"):
            main([*command, *options])
        assert sentence in capsys.readouterr().err
    signed(folder)
    with pytest.raises(SystemExit, match="2"):
        main([*command, "--trusted", str(tmp_path / "keys")])
    said = capsys.readouterr()
    assert f"expected a signature by {public(OTHER_KEY).fingerprint}" in said.err and "gone.wav" not in said.err


@pytest.mark.parametrize("mark", ["\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029", "\x1b[8m", "\u202e"])
def test_a_key_behind_a_comment_is_never_trusted(tmp_path: Path, mark: str) -> None:
    (tmp_path / "keys").write_text(
        f"{public(KEY).line}\n# revoked:{mark}{public(OTHER_KEY).line}\n", "utf-8", newline=""
    )
    with pytest.raises(SigningError, match=r"line 2 of .*keys holds a control character, which may hide a key"):
        read_trust(False, [tmp_path / "keys"])


def test_keys_written_on_windows_are_read(tmp_path: Path) -> None:
    lines = f"\ufeff# ours\r\n\r\n{public(KEY).line}\tlab\r\n"
    (tmp_path / "keys").write_text(lines, "utf-8", newline="")
    assert read_trust(False, [tmp_path / "keys"]).trusted_keys == {public(KEY)}


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a file has no such mode")
def test_keys_that_everybody_can_write_are_refused(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(public(KEY).line + "\n")
    keys.chmod(0o666)
    with pytest.raises(SigningError, match=r"keys can be written by everybody \(mode 0666\): chmod o-w"):
        read_trust(False, [keys])
    keys.chmod(0o664)
    assert read_trust(False, [keys]).trusted_keys == {public(KEY)}


FIELD = 2**255 - 19
SMALL_ORDER = {
    "neutral": 1,
    "order 2": FIELD - 1,
    "order 4": 0,
    "order 8": 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    "order 8, the other": 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    "neutral, written beyond the field": FIELD + 1,
    "not of small order, written beyond the field": FIELD + 3,
}


@pytest.mark.parametrize("sign_bit", [0, 1])
@pytest.mark.parametrize("y", SMALL_ORDER.values(), ids=SMALL_ORDER)
def test_a_key_under_which_one_signature_fits_anything_is_refused(folder: Path, y: int, sign_bit: int) -> None:
    key = PublicKey((y | sign_bit << 255).to_bytes(32, "little"))
    with pytest.raises(SigningError, match="keys is a key under which one signature fits anything"):
        parse_public_key(key.line, "keys")
    with pytest.raises(BundleError, match="one signature fits anything"):
        load_bundle(signed(folder, signer=key.line, signature=base64.b64encode(bytes([1, *bytes(63)])).decode()))


def test_a_signature_file_of_more_than_a_kilobyte_is_not_parsed(folder: Path) -> None:
    signed(folder, comment="x" * 1000)
    with pytest.raises(BundleError, match=r"SIGNATURE has \d+ bytes; expected at most 1024"):
        load_bundle(folder)


key_lines = st.sampled_from([public(KEY).line, public(OTHER_KEY).line, f"{public(KEY).line} lab", "ssh-rsa AAAA", ""])
hiding = st.sampled_from(["", "# ", "# revoked:\r", "#\v", "#\u2028", " ", "\t", "\ufeff", "x"])


@given(st.lists(st.tuples(hiding, key_lines, st.sampled_from(["\n", "\r\n", "\r", "\x85", "\0"])), max_size=5))
def test_no_key_is_trusted_that_an_editor_shows_in_a_comment(tmp_path_factory, lines) -> None:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    content = "".join(map("".join, lines)).encode()
    keys.write_bytes(content)
    try:
        trusted = read_trust(False, [keys]).trusted_keys
    except SigningError as error:
        assert "\n" not in str(error) and "\r" not in str(error)
        return
    plain = [line.removeprefix(b"\xef\xbb\xbf").lstrip() for line in content.split(b"\n")]
    shown = [line.split()[1].decode() for line in plain if line.strip() and not line.startswith(b"#")]
    assert {key.line.split()[1] for key in trusted} == set(shown)
