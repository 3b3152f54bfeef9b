"""Keeps the device secret on a desktop, in a file that nobody but its owner may read."""

import contextlib
import os
from pathlib import Path

from app.crypto.sealing import random_bytes
from app.data_folder import sync_folder
from app.devices.device_secret import SECRET_BYTES
from core.errors import OutputError

FILE_NAME = "device-secret"


class DesktopDeviceSecret:
    """The file ``device-secret`` in `folder`, mode 0600."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME

    def read(self) -> bytes | None:
        """The secret, 32 bytes; None where the file is gone, damaged or cannot be read."""
        try:
            content = self.path.read_bytes()
        except OSError:
            return None
        return content if len(content) == SECRET_BYTES else None

    def create(self) -> bytes:
        """Write a new secret, whole or not at all; raises `OutputError`."""
        secret = random_bytes(SECRET_BYTES)
        temporary = self.path.with_suffix(".part")
        try:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secret)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise OutputError(f"{self.path} cannot be written: {error.strerror or error}.") from error
        sync_folder(self.path.parent)
        return secret
