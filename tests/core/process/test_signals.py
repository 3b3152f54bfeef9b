"""The checks of signals, in a process of their own: one that arrives late would end everybody's tests."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.long
def test_signals_are_noted_forgiven_and_put_back() -> None:
    checks = Path(__file__).with_name("signal_checks.py")
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", str(checks)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[3])
    assert done.returncode == 0 and "7 passed" in done.stdout, done.stdout + done.stderr
