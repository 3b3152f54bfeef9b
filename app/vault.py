"""Unlocks the master key with a passcode and the device's secret, and wraps each record's key with it."""

import base64
import json
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from app.crypto import hpke
from app.crypto.passcode_attempts import PasscodeAttempts
from app.crypto.sealing import KEY_BYTES, OVERHEAD_BYTES, SealError, derive_key, open_sealed, random_bytes, seal, wipe
from app.data_folder import sync_folder
from app.devices.device_secret import DeviceSecret
from core.errors import TussisError
from core.files import write_atomically
from core.json_fields import Fields, parse_object

FILE_NAME, SCHEMA = "vault.json", "tussis.vault/1"
RECORD_KEY_INFO = b"tussis record key 1"  # HPKE's info where a record's key is wrapped for the study; aad is its id
MIN_PASSCODE_LENGTH = 6
SCRYPT_N, MAX_SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**15, 2**20, 8, 1
SALT_BYTES, MASTER_ID_BYTES, DEVICE_CHECK_BYTES = 16, 8, 16
WRAPPED_FOR_PHONE_BYTES = MASTER_ID_BYTES + KEY_BYTES + OVERHEAD_BYTES
WRAPPED_FOR_STUDY_BYTES = KEY_BYTES + hpke.OVERHEAD_BYTES
MAX_FILE_BYTES = 4096


class VaultError(TussisError):
    """A vault that cannot be made, opened or used as it is."""


class PasscodeError(VaultError):
    """A new passcode that is too short."""


class WrongPasscodeError(VaultError):
    """A passcode that is not the right one; ``wait_s`` is the time until the next try is taken."""

    def __init__(self, wait_s: float) -> None:
        super().__init__("The passcode is wrong.")
        self.wait_s = wait_s


class BackOffError(VaultError):
    """A passcode that was not looked at, after too many wrong ones; ``wait_s`` is the time until one is taken."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"Too many wrong passcodes: the next one is taken in {wait_s:.0f} s.")
        self.wait_s = wait_s


class LostDeviceSecretError(VaultError):
    """A vault whose device secret is gone: no passcode opens it any more."""


class LockedError(VaultError):
    """A vault that has to be unlocked first."""


class EarlierMasterKeyError(SealError):
    """A record's key that another master key wrapped: the phone cannot read it, the study can."""


@dataclass(frozen=True)
class RecordKey:
    """A record's key of 32 bytes, and the same wrapped by the master key and for the study."""

    key: bytes = field(repr=False)
    wrapped_for_phone: bytes
    wrapped_for_study: bytes


class Vault:
    """The master key of a data folder, locked until `unlock`.

    Parameters
    ----------
    folder : Path
        Where ``vault.json`` lies.
    device_secret : DeviceSecret
    clock : function
        Seconds since 1970.
    """

    def __init__(self, folder: Path, device_secret: DeviceSecret, clock: Callable[[], float] = time.time) -> None:
        self.path = folder / FILE_NAME
        self._device_secret = device_secret
        self._attempts = PasscodeAttempts(folder, clock)
        self._master_key: bytearray | None = None
        self.when_locked: list[Callable[[], None]] = []  # called where the master key goes: what it opened goes too

    @property
    def exists(self) -> bool:
        """Whether a passcode was set in this folder."""
        return self.path.exists()

    @property
    def is_open(self) -> bool:
        """Whether the master key is in memory."""
        return self._master_key is not None

    @property
    def wait_s(self) -> float:
        """Seconds until a passcode is taken: 0 where it may be tried now."""
        return self._attempts.wait_s if self.exists else 0.0

    @property
    def master_id(self) -> bytes:
        """8 bytes that tell this master key from others and say nothing of it; raises `LockedError`."""
        return _master_id(self._open_key())

    def create(self, passcode: str) -> None:
        """Set the first passcode; the vault is open then.

        Raises
        ------
        PasscodeError
            If it is too short.
        VaultError
            If there is a vault already.
        OutputError
            If it cannot be written; then there is none.
        """
        if self.exists:
            raise VaultError("This folder has a passcode already.")
        self.start_anew(passcode)

    def start_anew(self, passcode: str) -> None:
        """Go on after a forgotten passcode or a lost device secret, with a new master key; the vault is open then.

        What earlier master keys wrapped stays sealed for the study. Raises as `create` does.
        """
        check_passcode(passcode)
        device_secret = self._device_secret.read() or self._device_secret.create()
        master_key = bytearray(random_bytes(KEY_BYTES))
        self._attempts.forget()
        self._write(passcode, device_secret, master_key)
        self._keep(master_key)

    def unlock(self, passcode: str) -> None:
        """Bring the master key into memory; takes about a tenth of a second on a workstation, a second on a phone.

        Raises
        ------
        WrongPasscodeError, BackOffError, LostDeviceSecretError
        VaultError
            If there is no vault, or its file was altered.
        OutputError
            If the try cannot be counted, because the disk takes nothing.
        """
        self._keep(self._master_key_of(passcode))

    def change_passcode(self, old: str, new: str) -> None:
        """Set another passcode; every record stays readable. Raises as `unlock` and `create` do."""
        check_passcode(new)
        master_key = self._master_key_of(old)
        self._write(new, self._present_secret(self._read()), master_key)
        self._keep(master_key)

    def lock(self) -> None:
        """Wipe the master key."""
        if self._master_key is not None:
            wipe(self._master_key)
        self._master_key = None
        for forget in self.when_locked:
            forget()

    def new_record_key(self, record_id: str, study_public_key: bytes) -> RecordKey:
        """A new key for one record.

        Raises
        ------
        LockedError
        SealError
            If the study's key is no X25519 key.
        """
        master_key, key = self._open_key(), random_bytes(KEY_BYTES)
        for_phone = seal(_wrapping_key(master_key), key, record_id.encode())
        for_study = hpke.seal(study_public_key, RECORD_KEY_INFO, record_id.encode(), key)
        return RecordKey(key, _master_id(master_key) + for_phone, for_study)

    def open_record_key(self, record_id: str, wrapped_for_phone: bytes) -> bytes:
        """The key of a record, 32 bytes.

        Raises
        ------
        LockedError
        EarlierMasterKeyError
            If another master key wrapped it.
        SealError
            If it was altered or is another record's.
        """
        master_key = self._open_key()
        if len(wrapped_for_phone) != WRAPPED_FOR_PHONE_BYTES:
            raise SealError("The record's key was altered.")
        if wrapped_for_phone[:MASTER_ID_BYTES] != _master_id(master_key):
            raise EarlierMasterKeyError("The record was sealed before the passcode was set anew.")
        return open_sealed(_wrapping_key(master_key), wrapped_for_phone[MASTER_ID_BYTES:], record_id.encode())

    def _open_key(self) -> bytearray:
        if (master_key := self._master_key) is None:
            raise LockedError("The records are locked; the passcode opens them.")
        return master_key

    def _keep(self, master_key: bytearray) -> None:
        self.lock()
        self._master_key = master_key

    def _master_key_of(self, passcode: str) -> bytearray:
        fields = self._read()
        device_secret = self._present_secret(fields)
        if (wait_s := self._attempts.wait_s) > 0:
            raise BackOffError(wait_s)
        self._attempts.count()  # before the look: a kill in between gives no free try
        n = fields.integer("scrypt_n", SCRYPT_N, MAX_SCRYPT_N)
        key = _passcode_key(passcode, device_secret, _bytes_of(fields, "salt", SALT_BYTES), n)
        try:
            wrapped = _bytes_of(fields, "wrapped_master_key", KEY_BYTES + OVERHEAD_BYTES)
            master_key = bytearray(open_sealed(key, wrapped, SCHEMA.encode()))
        except SealError as reason:
            raise WrongPasscodeError(self._attempts.wait_s) from reason
        self._attempts.forget()
        return master_key

    def _present_secret(self, fields: Fields) -> bytes:
        secret = self._device_secret.read()
        if secret is None or _device_check(secret) != _bytes_of(fields, "device_check", DEVICE_CHECK_BYTES):
            raise LostDeviceSecretError("This device lost its secret; set a new passcode to go on.")
        return secret

    def _read(self) -> Fields:
        try:
            with self.path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError as reason:
            raise VaultError("No passcode was set in this folder.") from reason
        except OSError as reason:
            raise VaultError(f"{self.path} cannot be read: {reason.strerror or reason}.") from reason
        fields = parse_object(content, FILE_NAME, VaultError)
        fields.one_of("schema", (SCHEMA,))
        n = fields.integer("scrypt_n", SCRYPT_N, MAX_SCRYPT_N)
        if n & (n - 1):
            fields.refuse("scrypt_n", "a power of two")
        return fields

    def _write(self, passcode: str, device_secret: bytes, master_key: bytearray) -> None:
        salt = random_bytes(SALT_BYTES)
        key = _passcode_key(passcode, device_secret, salt, SCRYPT_N)
        wrapped = seal(key, bytes(master_key), SCHEMA.encode())
        values = {"salt": salt, "device_check": _device_check(device_secret), "wrapped_master_key": wrapped}
        texts = {name: base64.b64encode(value).decode() for name, value in values.items()}
        content = json.dumps({"schema": SCHEMA, "scrypt_n": SCRYPT_N, **texts}, indent=1) + "\n"
        write_atomically(self.path, content, replaces_any=True)
        sync_folder(self.path.parent)


def check_passcode(passcode: str) -> None:
    """Raise `PasscodeError` where a new passcode is too short."""
    if len(passcode) < MIN_PASSCODE_LENGTH:
        raise PasscodeError(
            f"The passcode has {len(passcode)} characters; expected at least {MIN_PASSCODE_LENGTH} characters."
        )


def _passcode_key(passcode: str, device_secret: bytes, salt: bytes, n: int) -> bytes:
    letters = unicodedata.normalize("NFKC", passcode).encode("utf-8", "surrogatepass")
    stretched = Scrypt(salt=salt, length=KEY_BYTES, n=n, r=SCRYPT_R, p=SCRYPT_P).derive(letters)
    return derive_key(stretched + device_secret, b"tussis passcode 1")


def _wrapping_key(master_key: bytearray) -> bytes:
    return derive_key(master_key, b"tussis wrapping 1")


def _master_id(master_key: bytearray) -> bytes:
    return derive_key(master_key, b"tussis master id 1")[:MASTER_ID_BYTES]


def _device_check(device_secret: bytes) -> bytes:
    return derive_key(device_secret, b"tussis device check 1")[:DEVICE_CHECK_BYTES]


def _bytes_of(fields: Fields, key: str, n_bytes: int) -> bytes:
    try:
        value = base64.b64decode(fields.text(key), validate=True)
    except ValueError:
        value = b""
    if len(value) != n_bytes:
        fields.refuse(key, f"{n_bytes} bytes in base64")
    return value
