"""Tests files from and to Android's document picker: copied whole, refused in words, read back."""

import threading

import pytest

from app.devices.android.files import NOT_THERE, AndroidFiles


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TUSSIS_HOME", str(tmp_path / "home"))
    return tmp_path


def answer_of(ask) -> object:
    answered, answers = threading.Event(), []
    ask(lambda answer: (answers.append(answer), answered.set()))
    assert answered.wait(10)
    return answers[0]


def test_an_application_sees_no_folder_and_asks(phone):
    assert AndroidFiles().can_ask() and AndroidFiles().folders() == ()


def test_a_chosen_file_is_copied_whole_into_the_apps_own_folder(phone, home):
    given = home / "study.tussis-study"
    given.write_bytes(b"a" * 3_000_000 + b"end")
    phone.desk.choose(str(given))
    copy = answer_of(AndroidFiles().ask_to_open)
    assert copy.read_bytes() == given.read_bytes() and copy.is_relative_to(home / "home")
    assert list(phone.desk.allTold()) == ["asks android.intent.action.OPEN_DOCUMENT null"]


def test_a_second_file_takes_the_place_of_the_first(phone, home):
    for content in (b"first", b"second"):
        (home / "given").write_bytes(content)
        phone.desk.choose(str(home / "given"))
        copy = answer_of(AndroidFiles().ask_to_open)
    assert copy.read_bytes() == b"second"
    assert len(list((home / "home" / "incoming").iterdir())) == 1


def test_back_in_the_picker_chooses_nothing(phone, home):
    phone.desk.choose("")
    assert answer_of(AndroidFiles().ask_to_open) is None
    source = home / "x"
    source.write_bytes(b"x")
    assert answer_of(lambda end: AndroidFiles().ask_to_save(source, "x.zip", end)) == NOT_THERE


def test_a_file_that_android_refuses_is_nothing(phone, home):
    phone.desk.choose(str(home / "gone"))
    assert answer_of(AndroidFiles().ask_to_open) is None


def test_a_hand_over_is_saved_under_its_name_and_read_back(phone, home):
    source, target = home / "source", home / "target"
    source.write_bytes(bytes(range(256)) * 9000)
    phone.desk.choose(str(target))
    assert answer_of(lambda end: AndroidFiles().ask_to_save(source, "day.tussis-handover", end)) == ""
    assert target.read_bytes() == source.read_bytes()
    assert list(phone.desk.allTold()) == ["asks android.intent.action.CREATE_DOCUMENT day.tussis-handover"]


def test_a_place_that_loses_a_byte_is_told(phone, home):
    source = home / "source"
    source.write_bytes(b"12345")
    phone.set("Desk.losesLastByte", True)
    phone.desk.choose(str(home / "target"))
    sentence = answer_of(lambda end: AndroidFiles().ask_to_save(source, "x", end))
    assert sentence.startswith("The file was saved, but reads differently there")


def test_a_place_that_cannot_be_written_is_told(phone, home):
    source = home / "source"
    source.write_bytes(b"12345")
    phone.desk.choose(str(home / "no" / "such" / "folder"))
    sentence = answer_of(lambda end: AndroidFiles().ask_to_save(source, "x", end))
    assert sentence == "The file cannot be saved there (Android refuses it); choose another place."
