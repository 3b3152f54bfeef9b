"""Keeps the device secret in a file that only this phone's keystore can open."""

from pathlib import Path

from app.crypto.sealing import random_bytes
from app.devices.android.java import bytes_of, java_exception, ours
from app.devices.device_secret import SECRET_BYTES
from core.errors import OutputError
from core.files import write_atomically

FILE_NAME = "device-secret.sealed"
ALIAS = "tussis-device-secret"


class AndroidDeviceSecret:
    """The file ``device-secret.sealed`` in `folder`, sealed by a key that never leaves the keystore."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._key = ours("DeviceKey")(ALIAS)
        self._java_exception = java_exception()

    def read(self) -> bytes | None:
        """The secret, 32 bytes; None where the file is gone or altered, or the keystore lost its key."""
        try:
            sealed = self.path.read_bytes()
        except OSError:
            return None
        opened = self._key.open(sealed)
        secret = b"" if opened is None else bytes_of(opened)
        return secret if len(secret) == SECRET_BYTES else None

    def create(self) -> bytes:
        """Make a new key and a new secret in place of any earlier ones; raises `OutputError`."""
        secret = random_bytes(SECRET_BYTES)
        try:
            self._key.create()
            sealed = self._key.seal(secret)
        except self._java_exception as reason:
            raise OutputError("the phone's keystore refuses to keep a key; start the phone anew.") from reason
        if sealed is None:
            raise OutputError("the phone's keystore lost its key at once; start the phone anew.")
        write_atomically(self.path, bytes_of(sealed), replaces_any=True)
        return secret
