import subprocess
import sys

import pytest

from core.errors import OutputError
from distill.folders import draft_beside, exchange, locked

HOLD = """
import pathlib, sys
from distill.folders import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_held_by_one_process_and_free_once_that_is_killed(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], **pipes)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(OutputError, match=r"run is being written by another process"), locked(tmp_path / "run"):
        pass
    holder.kill()
    holder.communicate()
    with locked(tmp_path / "run"):
        pass


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"), locked(tmp_path / "file" / "run"):
        pass


DRAFT = """
import pathlib, sys
from distill.folders import draft_beside
with draft_beside(pathlib.Path(sys.argv[1])) as folder:
    (folder / "new").mkdir()
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_draft_of_a_killed_process_goes_with_the_next_one_and_that_of_a_live_one_stays(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    holder = subprocess.Popen([sys.executable, "-c", DRAFT, str(tmp_path / "a[b]")], **pipes)
    assert holder.stdout.readline() == b"held\n"
    (left,) = tmp_path.iterdir()
    with draft_beside(tmp_path / "a[b]") as ours:
        assert set(tmp_path.iterdir()) == {left, ours}
    holder.kill()
    holder.communicate()
    with draft_beside(tmp_path / "a[b]") as ours:
        assert list(tmp_path.iterdir()) == [ours]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("has_renameat2", [True, False])
def test_two_folders_change_places(tmp_path, monkeypatch, has_renameat2):
    if not has_renameat2:
        monkeypatch.setattr("distill.folders.ctypes.CDLL", lambda *_, **__: None)
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(name)
    exchange(tmp_path / "a", tmp_path / "b")
    assert [(tmp_path / name / "name").read_text() for name in "ab"] == ["b", "a"]
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "absent", tmp_path / "b")
    assert (tmp_path / "b" / "name").read_text() == "a"
