"""Checks passcodes, back-off, lost secrets and the wrapping of records' keys with a real vault."""

import base64
import json

import pytest

from app.crypto import hpke
from app.crypto.sealing import SealError, open_sealed
from app.devices.desktop.device_secret import DesktopDeviceSecret
from app.vault import (
    RECORD_KEY_INFO,
    WRAPPED_FOR_PHONE_BYTES,
    WRAPPED_FOR_STUDY_BYTES,
    BackOffError,
    EarlierMasterKeyError,
    LockedError,
    LostDeviceSecretError,
    PasscodeError,
    Vault,
    VaultError,
    WrongPasscodeError,
)
from core.errors import OutputError

PASSCODE, OTHER = "482915", "515151"
STUDY_PRIVATE = bytes(range(32))
STUDY_PUBLIC = hpke.public_key(STUDY_PRIVATE)
YEAR_S = 365 * 86400.0


class Clock:
    now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def passcode_cost():
    """The cost that the app has."""


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def vault(tmp_path, clock):
    vault = Vault(tmp_path, DesktopDeviceSecret(tmp_path), clock)
    vault.create(PASSCODE)
    return vault


def reopened(vault: Vault, clock: Clock) -> Vault:
    return Vault(vault.path.parent, DesktopDeviceSecret(vault.path.parent), clock)


def miss(vault: Vault, times: int = 1) -> float:
    for _ in range(times):
        with pytest.raises(WrongPasscodeError) as caught:
            vault.unlock(OTHER)
    return caught.value.wait_s


def test_the_passcode_opens_the_vault_after_a_restart(vault, clock):
    record_key = vault.new_record_key("r1", STUDY_PUBLIC)
    again = reopened(vault, clock)
    assert again.exists and not again.is_open
    again.unlock(PASSCODE)
    assert again.is_open
    assert again.open_record_key("r1", record_key.wrapped_for_phone) == record_key.key


def test_an_empty_folder_has_no_vault(tmp_path):
    vault = Vault(tmp_path, DesktopDeviceSecret(tmp_path))
    assert not vault.exists and not vault.is_open and vault.wait_s == 0
    with pytest.raises(VaultError, match="No passcode"):
        vault.unlock(PASSCODE)


def test_a_second_create_and_a_short_passcode_are_refused(vault, tmp_path):
    with pytest.raises(VaultError, match="already"):
        vault.create(OTHER)
    (tmp_path / "new").mkdir()
    with pytest.raises(PasscodeError, match="5 characters"):
        Vault(tmp_path / "new", DesktopDeviceSecret(tmp_path / "new")).create("12345")
    assert not list((tmp_path / "new").iterdir())


def test_a_locked_vault_gives_no_key(vault):
    wrapped = vault.new_record_key("r1", STUDY_PUBLIC).wrapped_for_phone
    vault.lock()
    for call in (
        lambda: vault.new_record_key("r2", STUDY_PUBLIC),
        lambda: vault.open_record_key("r1", wrapped),
        lambda: vault.master_id,
    ):
        with pytest.raises(LockedError):
            call()


def test_a_key_opens_for_its_record_alone_and_for_the_study(vault):
    first, second = vault.new_record_key("r1", STUDY_PUBLIC), vault.new_record_key("r2", STUDY_PUBLIC)
    assert first.key != second.key
    assert len(first.wrapped_for_phone) == WRAPPED_FOR_PHONE_BYTES
    assert len(first.wrapped_for_study) == WRAPPED_FOR_STUDY_BYTES
    assert hpke.open_(STUDY_PRIVATE, RECORD_KEY_INFO, b"r1", first.wrapped_for_study) == first.key
    with pytest.raises(SealError):
        hpke.open_(bytes(32), RECORD_KEY_INFO, b"r1", first.wrapped_for_study)
    with pytest.raises(SealError):
        vault.open_record_key("r2", first.wrapped_for_phone)
    with pytest.raises(SealError):
        vault.open_record_key("r1", first.wrapped_for_phone[:-1])


def test_a_study_key_of_wrong_length_is_refused(vault):
    with pytest.raises(SealError):
        vault.new_record_key("r1", STUDY_PUBLIC[:31])


def test_after_five_wrong_passcodes_even_the_right_one_waits(vault, clock):
    assert [miss(vault) for _ in range(5)] == [0, 0, 0, 0, 30]
    with pytest.raises(BackOffError) as caught:
        vault.unlock(PASSCODE)
    assert caught.value.wait_s == vault.wait_s == 30
    clock.now_s += 30
    assert miss(vault) == 60
    clock.now_s += 60
    vault.unlock(PASSCODE)
    assert miss(vault) == 0


def test_the_wait_outlasts_a_restart_and_a_clock_set_back_a_year(vault, clock):
    miss(vault, 5)
    clock.now_s -= YEAR_S
    again = reopened(vault, clock)
    assert again.wait_s == 30
    with pytest.raises(BackOffError):
        again.unlock(PASSCODE)
    clock.now_s += 30
    reopened(vault, clock).unlock(PASSCODE)


@pytest.mark.parametrize(
    "content", [None, b"", b"[]", b'{"failures": -1, "last_s": 0}', b'{"failures": 0, "last_s": NaN}']
)
def test_a_removed_or_damaged_count_gives_no_free_tries(vault, clock, content, tmp_path):
    vault.lock()
    path = tmp_path / "passcode-attempts"
    path.unlink() if content is None else path.write_bytes(content)
    assert vault.wait_s == 30
    clock.now_s += 29
    with pytest.raises(BackOffError):
        vault.unlock(PASSCODE)
    clock.now_s += 1
    vault.unlock(PASSCODE)


def test_a_try_that_cannot_be_counted_is_not_made(vault, tmp_path):
    (tmp_path / "passcode-attempts").unlink()
    (tmp_path / "passcode-attempts").mkdir()
    vault.lock()
    with pytest.raises((OutputError, BackOffError)):
        vault.unlock(PASSCODE)
    assert not vault.is_open


def test_another_passcode_takes_the_place_of_the_first(vault, clock):
    wrapped = vault.new_record_key("r1", STUDY_PUBLIC).wrapped_for_phone
    key = vault.open_record_key("r1", wrapped)
    with pytest.raises(WrongPasscodeError):
        vault.change_passcode(OTHER, "999999")
    vault.change_passcode(PASSCODE, "another one")
    again = reopened(vault, clock)
    with pytest.raises(WrongPasscodeError):
        again.unlock(PASSCODE)
    again.unlock("another one")
    assert again.open_record_key("r1", wrapped) == key


def test_letters_typed_in_two_ways_are_one_passcode(vault, clock):
    vault.change_passcode(PASSCODE, "cafe\u0301 noir")
    reopened(vault, clock).unlock("caf\u00e9 noir")


def test_after_a_forgotten_passcode_earlier_records_open_for_the_study_alone(vault, clock):
    earlier = vault.new_record_key("r1", STUDY_PUBLIC)
    again = reopened(vault, clock)
    again.start_anew(OTHER)
    with pytest.raises(EarlierMasterKeyError):
        again.open_record_key("r1", earlier.wrapped_for_phone)
    assert hpke.open_(STUDY_PRIVATE, RECORD_KEY_INFO, b"r1", earlier.wrapped_for_study) == earlier.key
    with pytest.raises(WrongPasscodeError):
        again.unlock(PASSCODE)
    later = again.new_record_key("r2", STUDY_PUBLIC)
    assert again.open_record_key("r2", later.wrapped_for_phone) == later.key


@pytest.mark.parametrize("content", [None, bytes(32)])
def test_a_lost_device_secret_is_told_and_a_new_passcode_goes_on(vault, clock, content):
    path = DesktopDeviceSecret(vault.path.parent).path
    path.unlink() if content is None else path.write_bytes(content)
    again = reopened(vault, clock)
    with pytest.raises(LostDeviceSecretError, match="lost its secret"):
        again.unlock(PASSCODE)
    assert again.wait_s == 0
    again.start_anew(OTHER)
    reopened(vault, clock).unlock(OTHER)


def test_the_passcode_alone_opens_nothing_without_the_device(vault):
    values = json.loads(vault.path.read_bytes())
    wrapped = base64.b64decode(values["wrapped_master_key"])
    from app.vault import SCHEMA, _passcode_key

    key = _passcode_key(PASSCODE, bytes(32), base64.b64decode(values["salt"]), values["scrypt_n"])
    with pytest.raises(SealError):
        open_sealed(key, wrapped, SCHEMA.encode())


@pytest.mark.parametrize(
    ("key", "value"),
    [("schema", "tussis.vault/9"), ("scrypt_n", 2**14), ("scrypt_n", 2**40), ("scrypt_n", 2**15 + 1), ("salt", "")],
)
def test_an_altered_vault_file_is_one_sentence(vault, key, value):
    values = json.loads(vault.path.read_bytes())
    vault.path.write_text(json.dumps({**values, key: value}), encoding="utf-8")
    with pytest.raises(VaultError, match=f'vault.json: "{key}"'):
        vault.unlock(PASSCODE)
    vault.start_anew(OTHER)
    vault.unlock(OTHER)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 5000, b"\xff", b"0" * 100_000])
def test_a_damaged_vault_file_is_one_sentence(vault, content):
    vault.path.write_bytes(content)
    with pytest.raises(VaultError, match="not valid JSON"):
        vault.unlock(PASSCODE)


def test_the_vaults_files_hold_neither_passcode_nor_master_key(vault, tmp_path):
    master_key = bytes(vault._master_key)
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (PASSCODE.encode(), master_key, base64.b64encode(master_key)):
        assert secret not in content


def test_locking_wipes_the_master_key(vault):
    held = vault._master_key
    vault.lock()
    assert held == bytes(32)
