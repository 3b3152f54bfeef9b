"""Checks where the data folder is, that it is private, and that one window at a time uses it."""

import stat
import subprocess
import sys

import pytest

from app.data_folder import FolderInUseError, FolderLock, data_folder
from core.errors import OutputError


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("TUSSIS_HOME", "ANDROID_PRIVATE", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


def test_the_given_folder_is_made_and_private(home, monkeypatch):
    monkeypatch.setenv("TUSSIS_HOME", str(home / "a" / "b"))
    folder = data_folder()
    assert folder == home / "a" / "b"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_home_without_any_folder_is_enough(home):
    folder = data_folder()
    assert folder.is_relative_to(home) and folder.name == "tussis" and folder.is_dir()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="XDG is of Linux")
def test_the_platforms_place_for_data_is_used(home, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    assert data_folder() == home / "data" / "tussis"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert data_folder() == home / ".local" / "share" / "tussis"


def test_the_phones_own_folder_is_used_where_it_gives_one(home, monkeypatch):
    monkeypatch.setenv("ANDROID_PRIVATE", str(home / "files"))
    assert data_folder() == home / "files"


def test_a_folder_that_cannot_be_made_is_one_sentence(home, monkeypatch):
    (home / "file").write_bytes(b"")
    monkeypatch.setenv("TUSSIS_HOME", str(home / "file" / "folder"))
    with pytest.raises(OutputError, match="cannot be made"):
        data_folder()


def test_a_second_window_is_refused_until_the_first_is_closed(tmp_path):
    first = FolderLock(tmp_path)
    with pytest.raises(FolderInUseError, match="another window"):
        FolderLock(tmp_path)
    first.release()
    first.release()
    FolderLock(tmp_path).release()


def test_a_killed_window_holds_nothing(tmp_path):
    script = "import sys, time; from pathlib import Path; from app.data_folder import FolderLock\n"
    script += "lock = FolderLock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as window:
        assert window.stdout.readline() == "held\n"
        with pytest.raises(FolderInUseError):
            FolderLock(tmp_path)
        window.kill()
    FolderLock(tmp_path).release()


def test_a_folder_that_takes_no_lock_file_is_one_sentence(tmp_path):
    with pytest.raises(OutputError, match="lock cannot be written"):
        FolderLock(tmp_path / "absent")
    assert not list(tmp_path.iterdir())
