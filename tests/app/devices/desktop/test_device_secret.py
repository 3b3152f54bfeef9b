"""Checks that the device's secret is kept, is private, and that its loss is told."""

import stat

import pytest

from app.devices.desktop.device_secret import DesktopDeviceSecret
from core.errors import OutputError


def test_a_secret_is_kept_and_nobody_else_may_read_it(tmp_path):
    secret = DesktopDeviceSecret(tmp_path).create()
    assert len(secret) == 32
    assert DesktopDeviceSecret(tmp_path).read() == secret
    assert stat.S_IMODE(DesktopDeviceSecret(tmp_path).path.stat().st_mode) == 0o600


def test_a_new_secret_takes_the_place_of_the_earlier(tmp_path):
    device = DesktopDeviceSecret(tmp_path)
    assert device.create() != device.create()
    assert [path.name for path in tmp_path.iterdir()] == ["device-secret"]


@pytest.mark.parametrize("content", [None, b"", bytes(31), bytes(33)])
def test_a_lost_or_damaged_secret_is_none(tmp_path, content):
    device = DesktopDeviceSecret(tmp_path)
    if content is not None:
        device.path.write_bytes(content)
    assert device.read() is None


def test_what_a_kill_left_is_in_nobodys_way(tmp_path):
    (tmp_path / "device-secret.part").write_bytes(b"half")
    assert len(DesktopDeviceSecret(tmp_path).create()) == 32


def test_a_folder_that_is_gone_is_one_sentence(tmp_path):
    with pytest.raises(OutputError, match="device-secret cannot be written"):
        DesktopDeviceSecret(tmp_path / "absent").create()
