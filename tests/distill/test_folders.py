import subprocess
import sys

import pytest

from core.errors import OutputError
from distill.folders import locked

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
