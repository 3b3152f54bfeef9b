"""Choosing a file, by taps."""

import pytest


@pytest.fixture
def files(window, stage):
    shell = window()
    folder = shell.work.facilities.files.folders()[0]
    (folder / "older").mkdir()
    for name in ("a.wav", "b.wav", "notes.txt", ".hidden.wav"):
        (folder / name).touch()
    chosen = []
    shell.work.choose_file((".wav",), chosen.append)
    stage.draw(6)
    return shell, folder, chosen


def rows(shell):
    return [row["text"] for row in shell.page.ids.list.data]


def test_folders_and_files_of_the_kind_are_listed_the_newest_name_first(files):
    shell, _, _ = files
    assert rows(shell) == ["One folder up", "older", "b.wav", "a.wav"]


@pytest.mark.long
def test_a_file_is_chosen_and_the_page_is_left(files, stage):
    shell, folder, chosen = files
    stage.press_words("a.wav")
    assert chosen == [folder / "a.wav"]
    assert shell.work.navigation.names == ("unlock",)


def test_a_folder_opens_and_leads_up_again(files, stage):
    shell, _, chosen = files
    stage.press_words("older")
    stage.draw(6)
    assert rows(shell) == ["One folder up"]
    assert "Nothing to choose in this folder." in stage.text
    stage.press_words("One folder up")
    stage.draw(6)
    assert "a.wav" in rows(shell)
    assert chosen == []


def test_a_folder_that_cannot_be_read_is_a_sentence(files, stage, monkeypatch):
    from pathlib import Path

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    shell, _, _ = files
    monkeypatch.setattr(Path, "iterdir", refuse)
    stage.press_words("older")
    assert "cannot be opened: Permission denied" in stage.text
    assert rows(shell) == ["One folder up", "older", "b.wav", "a.wav"]


def test_a_folder_is_chosen_by_its_button(window, stage):
    shell = window()
    folder = shell.work.facilities.files.folders()[0]
    chosen = []
    shell.work.choose_file((), chosen.append)
    stage.draw(6)
    stage.press_words("Save here")
    assert chosen == [folder]
