"""The protocol for 32 bytes that only this device has."""

from typing import Protocol

SECRET_BYTES = 32


class DeviceSecret(Protocol):
    """Keeps the secret that, together with the passcode, unlocks the vault."""

    def read(self) -> bytes | None:
        """The secret, 32 bytes; None where there is none or it was lost."""

    def create(self) -> bytes:
        """Make a new secret in place of any earlier one, keep it, and return it; raises `TussisError`."""
