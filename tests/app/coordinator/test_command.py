import base64
import re
import stat
import subprocess
from pathlib import Path

import pytest

from app.coordinator.command import main
from app.study import PRACTICE_STUDY, read_study
from core.private_keys import PASSPHRASE_VARIABLE
from tests.app.coordinator.conftest import edit_draft


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    shown = capsys.readouterr()
    assert ended.value.code == 2 and shown.err.startswith("tussis-study: ") and shown.err.count("\n") == 1
    return shown.err


def test_a_coordinator_makes_keys_and_a_study_and_checks_it(draft: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys, out = draft.parent / "new" / "keys", draft.parent / "cough.tussis-study"
    assert main(["keygen", str(keys)]) == 0
    assert {stat.S_IMODE((keys / name).stat().st_mode) for name in ("signing.key", "handover.key")} == {0o600}
    fingerprint = re.search(r"SHA256:\S+", capsys.readouterr().out)[0]
    listed = subprocess.run(["ssh-keygen", "-l", "-f", keys / "signing.key.pub"], capture_output=True, text=True)
    assert listed.returncode or fingerprint in listed.stdout
    build = ["build", str(draft), "--key", str(keys / "signing.key")]
    assert main([*build, "--handover-key", str(keys / "handover.key.pub"), "--out", str(out)]) == 0
    assert main(["check", str(out), "--trusted", str(keys / "signing.key.pub")]) == 0
    shown = capsys.readouterr().out
    assert f"signed by {fingerprint}, a trusted key" in shown and "3 x coughs, 10 s" in shown
    public_key = (keys / "handover.key.pub").read_text().split()[1]
    assert base64.b64encode(read_study(out).handover_public_key).decode() == public_key


def test_a_folder_is_checked_before_it_is_built(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(PRACTICE_STUDY)]) == 0
    shown = capsys.readouterr().out
    assert "(practice, version 1) for practice" in shown and "unsigned" in shown and "PR-0001-" in shown


def test_keys_can_have_a_passphrase(
    draft: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = draft.parent / "keys"
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "correct horse")
    assert main(["keygen", str(keys), "--passphrase"]) == 0
    assert b"ENCRYPTED" in (keys / "handover.key").read_bytes()
    build = ["build", str(draft), "--key", str(keys / "signing.key"), "--handover-key", str(keys / "handover.key.pub")]
    build += ["--out", str(draft.parent / "cough.tussis-study")]
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "wrong")
    assert "or its passphrase is another one" in refused(build, capsys)
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "correct horse")
    assert main(build) == 0


def test_mistakes_are_one_sentence(draft: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "exists; a key is never overwritten" in refused(["keygen", str(keys)], capsys)
    build = ["build", str(draft), "--out", str(draft.parent / "cough.tussis-study")]
    signing, handover = str(keys / "signing.key"), str(keys / "handover.key.pub")
    swapped = ["--key", str(keys / "handover.key"), "--handover-key", handover]
    assert "holds a key of another kind; expected Ed25519" in refused([*build, *swapped], capsys)
    private = ["--key", signing, "--handover-key", str(keys / "handover.key")]
    assert "is not a public key for sealing" in refused([*build, *private], capsys)
    edit_draft(draft, lambda fields: fields["title"].update(sw="\x1b[31m"))
    assert '"title.sw" is "\\u001b[31m"' in refused(["check", str(draft)], capsys)
    assert "there is no such study file" in refused(["check", str(draft / "none")], capsys)
