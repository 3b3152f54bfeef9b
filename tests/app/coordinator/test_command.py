import base64
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.coordinator.command import main
from app.study import PRACTICE_STUDY, read_study
from core.keys.private_keys import PASSPHRASE_VARIABLE
from tests.app.coordinator.conftest import Phone, edit_draft


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


@pytest.fixture
def day(keys: Path, draft: Path) -> Iterator[Phone]:
    """A phone that was given a study by the coordinator's own commands, after a day's work."""
    study_file = draft.parent / "cough.tussis-study"
    build = ["build", str(draft), "--key", str(keys / "signing.key"), "--handover-key", str(keys / "handover.key.pub")]
    assert main([*build, "--out", str(study_file)]) == 0
    phone = Phone(draft.parent / "phone", read_study(study_file))
    phone.recording(phone.participant(17))
    phone.recording(phone.participant(18))
    yield phone
    phone.casebook.records.close()


def receiving(day: Phone, handover: Path, *more: str) -> list[str]:
    folder = day.folder.parent
    options = ["--key", str(folder / "keys" / "handover.key"), "--study", str(folder / "cough.tussis-study")]
    return ["receive", str(handover), *options, "--out", str(folder / "received"), *more]


def test_what_a_phone_hands_over_is_received_and_the_receipt_lets_it_delete(
    day: Phone, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = day.hand_over()
    assert main(receiving(day, written.path, "--trusted", str(out.parent / "keys" / "signing.key.pub"))) == 0
    shown = capsys.readouterr().out
    assert "2 complete" in shown and "0 changed, 0 received before" in shown
    names = {"participants.csv", "answers.csv", "recordings.csv", "withdrawals.csv", "fhir_bundle.json"}
    assert names <= {path.name for path in out.iterdir()} and len(list(out.glob("recordings/*.wav"))) == 2
    receipt = re.search(r"receipt +([\d-]+)", shown)[1]
    assert day.casebook.delete_handed_over(written.id, receipt) == 2
    assert main(receiving(day, written.path)) == 0
    assert "0 new, 0 changed" in capsys.readouterr().out
    assert len(list(out.glob("recordings/*.wav"))) == 2, "what the phone deleted stays here"


def test_a_withdrawal_is_named_and_erased(day: Phone, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(receiving(day, day.hand_over().path)) == 0
    day.casebook.withdraw(day.study.new_id(17))
    capsys.readouterr()
    assert main(receiving(day, day.hand_over().path)) == 0
    shown = capsys.readouterr().out
    assert f"{day.study.new_id(17)} on 2" in shown and "1 of 1 recordings were here and are erased" in shown
    assert len(list(out.glob("recordings/*.wav"))) == 1


def test_a_hand_over_that_is_not_right_is_one_sentence(day: Phone, out: Path, capsys: pytest.CaptureFixture) -> None:
    written = day.hand_over()
    content = written.path.read_bytes()
    altered = written.path.with_name("altered.tussis-handover")
    for wrong, words in (
        (content[:-30], "is cut short or was altered"),
        (content[:500] + b"?" + content[501:], "was altered, or is damaged"),
        (b"", "is no hand-over"),
    ):
        altered.write_bytes(wrong)
        assert words in refused(receiving(day, altered), capsys)
    assert list(out.glob("*.csv")) == [] and list(out.glob("recordings/*")) == []
    assert main(["keygen", str(out.parent / "other")]) == 0
    other = receiving(day, written.path)
    other[other.index("--key") + 1] = str(out.parent / "other" / "handover.key")
    capsys.readouterr()
    assert "it belongs to another study, or was altered" in refused(other, capsys)
    other[other.index("--key") + 1] = str(out.parent / "other" / "signing.key")
    assert "holds a key of another kind; expected X25519" in refused(other, capsys)
