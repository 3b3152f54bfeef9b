"""Checks that wrong passcodes are counted on the disk in a file whose size never changes."""

import pytest

from app.crypto.passcode_attempts import FILE_NAME, PasscodeAttempts
from core.errors import OutputError


def test_the_file_keeps_its_size_so_that_a_full_disk_still_takes_it(tmp_path):
    attempts = PasscodeAttempts(tmp_path, lambda: 1.8e9)
    attempts.forget()
    sizes = set()
    for _ in range(200):
        attempts.count()
        sizes.add((tmp_path / FILE_NAME).stat().st_size)
    assert sizes == {64}
    assert PasscodeAttempts(tmp_path, lambda: 1.8e9).wait_s == 3600


def test_a_folder_that_takes_nothing_is_one_sentence(tmp_path):
    attempts = PasscodeAttempts(tmp_path / "absent", lambda: 1.8e9)
    assert attempts.wait_s == 30
    with pytest.raises(OutputError, match="cannot be written"):
        attempts.count()


def test_waits_double_up_to_an_hour_and_a_right_passcode_ends_them(tmp_path):
    attempts, waits_s = PasscodeAttempts(tmp_path, lambda: 1.8e9), []
    attempts.forget()
    for _ in range(13):
        attempts.count()
        waits_s.append(attempts.wait_s)
    assert waits_s == [0, 0, 0, 0, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    attempts.forget()
    assert attempts.wait_s == 0
