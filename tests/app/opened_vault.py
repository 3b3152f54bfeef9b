"""An open vault and a study's keys, which the tests of the records share."""

from pathlib import Path

from app.crypto import hpke
from app.devices.desktop.device_secret import DesktopDeviceSecret
from app.vault import Vault

PASSCODE = "482915"
STUDY_PRIVATE = bytes(range(32))
STUDY_PUBLIC = hpke.public_key(STUDY_PRIVATE)


def new_vault(folder: Path) -> Vault:
    """A vault in `folder` that was just made, and is open."""
    vault = Vault(folder, DesktopDeviceSecret(folder))
    vault.create(PASSCODE)
    return vault
