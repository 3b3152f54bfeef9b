from pathlib import Path

import pytest

from app.coordinator.study_folder import build_study, read_folder
from app.study import Study, StudyError, practice_study, read_study
from core.errors import OutputError
from core.keys.private_keys import read_public_sealing_key
from tests.app.coordinator.conftest import edit_draft


def never_asked() -> str:
    raise AssertionError("a passphrase was asked for")


def build(draft: Path, keys: Path, name: str = "cough.tussis-study") -> Study:
    public_key = read_public_sealing_key(keys / "handover.key.pub")
    return build_study(draft, keys / "signing.key", public_key, draft.parent / name, never_asked)


def test_a_folder_becomes_a_signed_file_with_hashes_and_key_filled_in(draft: Path, keys: Path) -> None:
    edit_draft(draft, lambda fields: (fields.pop("files"), fields.pop("handover_public_key")))
    built = build(draft, keys)
    assert built == read_study(draft.parent / "cough.tussis-study")
    assert built.signature.is_verified and built.title("sw") == practice_study().title("sw")
    assert built.handover_public_key != practice_study().handover_public_key


def test_the_same_folder_gives_the_same_bytes(draft: Path, keys: Path) -> None:
    build(draft, keys)
    before = (draft.parent / "cough.tussis-study").read_bytes()
    build(draft, keys)
    assert (draft.parent / "cough.tussis-study").read_bytes() == before


def test_texts_from_any_editor_are_taken(draft: Path, keys: Path) -> None:
    (draft / "consent" / "en.txt").write_bytes(b"\xef\xbb\xbfI understand.\r\nI agree.\r\n")
    assert build(draft, keys).consent.text("en") == "I understand.\nI agree."


def test_a_changed_study_of_the_same_version_is_not_written(draft: Path, keys: Path) -> None:
    before = build(draft, keys)
    edit_draft(draft, lambda fields: fields.update(auto_lock_s=60))
    with pytest.raises(StudyError, match='is version 1 of cough_study already; raise "version"'):
        build(draft, keys)
    assert read_study(draft.parent / "cough.tussis-study") == before
    edit_draft(draft, lambda fields: fields.update(version=2))
    assert build(draft, keys).auto_lock_s == 60


def test_the_practice_study_cannot_be_made_again(draft: Path, keys: Path) -> None:
    edit_draft(draft, lambda fields: fields.update(id="practice"))
    with pytest.raises(StudyError, match='"id" is "practice", the study of the app; expected another id'):
        build(draft, keys)


def test_a_study_that_nobody_could_receive_is_not_made(draft: Path, keys: Path) -> None:
    (keys / "handover.key.pub").write_text("x25519 " + "3HBrc" * 3)
    with pytest.raises(StudyError, match="expected 32 bytes of X25519 in base64"):
        build(draft, keys)
    assert not (draft.parent / "cough.tussis-study").exists()


def test_what_stands_in_the_way_is_left_alone(draft: Path, keys: Path) -> None:
    (draft.parent / "cough.tussis-study").write_text("# my notes\nnot a study\n")
    with pytest.raises(OutputError, match="is not a result of this command"):
        build(draft, keys)
    with pytest.raises(OutputError, match=r"does not end in \.tussis-study"):
        build(draft, keys, "cough.zip")
    assert (draft.parent / "cough.tussis-study").read_text().startswith("# my notes")


def test_a_sentence_names_the_file_of_the_folder(draft: Path) -> None:
    (draft / "consent" / "sw.txt").write_text("咳", encoding="utf-8")
    with pytest.raises(StudyError, match=r"cough_study/consent/sw\.txt holds U\+54B3"):
        read_folder(draft)
    (draft / "consent" / "sw.txt").unlink()
    with pytest.raises(StudyError, match=r"cough_study/consent/sw\.txt is missing"):
        read_folder(draft)


def test_a_link_out_of_the_folder_is_not_followed(draft: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("not for the study")
    (draft / "consent" / "sw.txt").unlink()
    (draft / "consent" / "sw.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(StudyError, match="leads out of the bundle through a link"):
        read_folder(draft)
