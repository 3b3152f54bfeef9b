"""A whole day by taps, from the set-up to the coordinator's receipt, with and without asserts and docstrings."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["-OO"]], ids=["python", "python -OO"])
def test_a_whole_day_from_the_set_up_to_the_receipt(
    drawing_surface, kivy_environment, default_bundle, tmp_path, options
):
    command = [sys.executable, *options, "-m", "tests.app.whole_day", str(tmp_path / "day")]
    done = subprocess.run(command, cwd=ROOT, env=kivy_environment, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "THE WHOLE DAY WENT WELL" in done.stdout
