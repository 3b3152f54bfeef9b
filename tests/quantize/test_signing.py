import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from core.bundle import DEFAULT_BUNDLE, load_bundle
from core.errors import OutputError, SigningError
from core.keys.private_keys import PASSPHRASE_VARIABLE, generate_key, sign
from core.signing import parse_public_key
from quantize.bundle import app as bundle_app
from quantize.bundle import pack_bundle


def never_asked() -> str:
    raise AssertionError("a passphrase was asked for")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    generate_key(tmp_path / "me.key", None)
    return tmp_path / "me.key"


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """The shipped bundle as one file, packed by the command's own function."""
    pack_bundle(DEFAULT_BUNDLE, tmp_path / "packed.tussis")
    return tmp_path / "packed.tussis"


def test_a_key_is_pem_for_its_owner_only_and_one_line_for_others(key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    line = key.with_name("me.key.pub").read_text()
    raw = load_pem_private_key(key.read_bytes(), None).public_key().public_bytes_raw()
    assert line.count("\n") == 1 and parse_public_key(line, "me.key.pub").raw == raw


def test_a_key_is_never_overwritten_and_never_left_alone(key: Path, tmp_path: Path) -> None:
    before = key.read_bytes()
    with pytest.raises(OutputError, match=r"me\.key(\.pub)? exists; a key is never overwritten"):
        generate_key(key, None)
    (tmp_path / "other.key.pub").write_text("")
    with pytest.raises(OutputError, match=r"other\.key\.pub exists"):
        generate_key(tmp_path / "other.key", None)
    with pytest.raises(OutputError, match=r"gone/a\.key cannot be written"):
        generate_key(tmp_path / "gone" / "a.key", None)
    assert key.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["me.key", "me.key.pub", "other.key.pub"]


def test_the_same_key_and_content_give_the_same_signature(key: Path) -> None:
    assert sign(b"content", key, never_asked) == sign(b"content", key, never_asked)
    assert sign(b"content", key, never_asked) != sign(b"Content", key, never_asked)


def test_a_key_that_others_can_read_is_refused(key: Path) -> None:
    key.chmod(0o640)
    with pytest.raises(SigningError, match=r"me\.key can be used by others \(mode 0640\); expected 0600"):
        sign(b"content", key, never_asked)


def test_a_key_with_a_passphrase_signs_with_it_only(tmp_path: Path) -> None:
    public_key = generate_key(tmp_path / "a.key", "correct horse")
    assert b"ENCRYPTED" in (tmp_path / "a.key").read_bytes()
    assert public_key.line.encode() in sign(b"content", tmp_path / "a.key", lambda: "correct horse")
    for wrong in ("battery staple", ""):
        with pytest.raises(SigningError, match="or its passphrase is another one"):
            sign(b"content", tmp_path / "a.key", lambda wrong=wrong: wrong)


def test_what_is_no_ed25519_key_is_refused_without_showing_it(tmp_path: Path) -> None:
    rsa = generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content, sentence in ((b"SECRET", "is not a private key in PEM"), (rsa, "expected Ed25519")):
        (tmp_path / "a.key").write_bytes(content)
        (tmp_path / "a.key").chmod(0o600)
        with pytest.raises(SigningError, match=sentence) as refused:
            sign(b"content", tmp_path / "a.key", never_asked)
        assert "SECRET" not in str(refused.value)


def test_a_bundle_is_packed_signed_shown_and_verified_by_the_commands(
    run: Callable[..., Result], tmp_path: Path, packed: Path
) -> None:
    assert run(bundle_app, "keygen", tmp_path / "lab.key").exit_code == 0
    fingerprint = parse_public_key((tmp_path / "lab.key.pub").read_text(), "lab").fingerprint
    unsigned = run(bundle_app, "verify", packed, "--require-signature")
    assert unsigned.exit_code == 2 and "is not signed" in unsigned.stderr
    signed = run(bundle_app, "sign", packed, "--key", tmp_path / "lab.key")
    assert signed.exit_code == 0 and fingerprint in signed.stdout
    assert f"signed by {fingerprint}" in run(bundle_app, "show", packed).stdout
    verified = run(bundle_app, "verify", packed, "--trusted", tmp_path / "lab.key.pub")
    assert verified.exit_code == 0 and f"signed by {fingerprint}, a trusted key" in verified.stdout
    run(bundle_app, "keygen", tmp_path / "other.key")
    refused = run(bundle_app, "verify", packed, "--trusted", tmp_path / "other.key.pub")
    assert refused.exit_code == 2 and f"is signed by {fingerprint}; expected a signature by" in refused.stderr


def test_packing_and_unpacking_keep_every_byte_and_the_signature(
    run: Callable[..., Result], key: Path, tmp_path: Path, packed: Path
) -> None:
    assert run(bundle_app, "sign", packed, "--key", key).exit_code == 0
    assert run(bundle_app, "pack", packed, "--out", tmp_path / "folder").exit_code == 0
    assert run(bundle_app, "pack", tmp_path / "folder", "--out", tmp_path / "again.tussis").exit_code == 0
    assert (tmp_path / "again.tussis").read_bytes() == packed.read_bytes()
    assert load_bundle(tmp_path / "folder").signature.words.startswith("signed by")
    for path in DEFAULT_BUNDLE.rglob("*"):
        if path.is_file():
            assert (tmp_path / "folder" / path.relative_to(DEFAULT_BUNDLE)).read_bytes() == path.read_bytes()
    assert run(bundle_app, "sign", tmp_path / "folder", "--key", key).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["again.tussis", "folder", "me.key", "me.key.pub", "packed.tussis"]
    )


def test_a_bundle_whose_signature_does_not_fit_is_not_signed_over(
    run: Callable[..., Result], key: Path, tmp_path: Path
) -> None:
    pack_bundle(DEFAULT_BUNDLE, tmp_path / "folder")
    run(bundle_app, "sign", tmp_path / "folder", "--key", key)
    content = (tmp_path / "folder" / "bundle.json").read_text()
    (tmp_path / "folder" / "bundle.json").write_text(content + " ")
    again = run(bundle_app, "sign", tmp_path / "folder", "--key", key)
    assert again.exit_code == 2 and "bundle.json is not what was signed" in again.stderr


def test_a_passphrase_comes_from_the_environment_or_a_terminal(
    run: Callable[..., Result], tmp_path: Path, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PASSPHRASE_VARIABLE, raising=False)
    unasked = run(bundle_app, "keygen", tmp_path / "a.key", "--passphrase")
    assert unasked.exit_code == 2 and f"give it in {PASSPHRASE_VARIABLE} or at a terminal" in unasked.stderr
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "correct horse")
    made = run(bundle_app, "keygen", tmp_path / "a.key", "--passphrase")
    signed = run(bundle_app, "sign", packed, "--key", tmp_path / "a.key")
    assert (made.exit_code, signed.exit_code) == (0, 0)
    assert "correct horse" not in made.stdout + made.stderr + signed.stdout + signed.stderr


@pytest.mark.parametrize("name", ["thesis.tussis", "thesis"])
def test_what_is_no_bundle_is_left_as_it_is(run: Callable[..., Result], tmp_path: Path, name: str) -> None:
    thesis = tmp_path / name if name.endswith(".tussis") else tmp_path / name / "chapter.txt"
    thesis.parent.mkdir(exist_ok=True)
    thesis.write_text("years of work")
    refused = run(bundle_app, "pack", DEFAULT_BUNDLE, "--out", tmp_path / name)
    assert refused.exit_code == 2 and "holds something else than a bundle" in refused.stderr
    assert thesis.read_text() == "years of work"


def test_a_form_that_does_not_fit_the_name_is_refused(run: Callable[..., Result], tmp_path: Path, packed: Path) -> None:
    pack_bundle(DEFAULT_BUNDLE, tmp_path / "folder")
    (tmp_path / "folder.tussis").mkdir()
    for out, words in (("folder.tussis", "is no file whose name ends in .tussis"), ("me.key", "is no folder")):
        (tmp_path / "me.key").write_text("")
        refused = run(bundle_app, "pack", packed, "--out", tmp_path / out)
        assert refused.exit_code == 2 and words in refused.stderr


@pytest.mark.skipif(
    subprocess.run(["which", "ssh-keygen"], capture_output=True).returncode != 0, reason="no ssh-keygen"
)
def test_ssh_keygen_reads_the_public_key_and_shows_the_same_fingerprint(key: Path) -> None:
    shown = subprocess.run(
        ["ssh-keygen", "-lf", f"{key}.pub"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    assert parse_public_key(Path(f"{key}.pub").read_text(), "key").fingerprint in shown.stdout
