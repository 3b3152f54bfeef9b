"""Tests the secret in the phone's keystore: it is kept, forgotten, altered and made anew."""

import pytest

from app.casebook import Casebook
from app.devices.android.device_secret import AndroidDeviceSecret
from app.handover import write_handover
from app.records import Records
from app.vault import LostDeviceSecretError, Vault
from tests.app.opened_casebook import STUDY, consented, recorded
from tests.app.opened_vault import STUDY_PUBLIC

PASSCODE = "courtyard-7"


def test_the_secret_is_read_again_and_its_file_does_not_hold_it(phone, tmp_path):
    secret = AndroidDeviceSecret(tmp_path).create()
    assert len(secret) == 32
    assert AndroidDeviceSecret(tmp_path).read() == secret
    assert secret not in AndroidDeviceSecret(tmp_path).path.read_bytes()


def test_a_phone_without_a_secret_says_so(phone, tmp_path):
    assert AndroidDeviceSecret(tmp_path).read() is None


def test_a_secret_that_the_keystore_forgot_is_lost_and_a_new_one_can_be_made(phone, tmp_path):
    before = AndroidDeviceSecret(tmp_path).create()
    phone.keystore.forget()
    assert AndroidDeviceSecret(tmp_path).read() is None
    after = AndroidDeviceSecret(tmp_path).create()
    assert after != before and AndroidDeviceSecret(tmp_path).read() == after


def test_a_keystore_that_cannot_read_its_key_is_an_answer(phone, tmp_path):
    AndroidDeviceSecret(tmp_path).create()
    phone.set("ForgetfulKeystore.isUnreadable", True)
    assert AndroidDeviceSecret(tmp_path).read() is None


@pytest.mark.parametrize("place", [0, 12, 30, -1])
def test_altered_bytes_are_refused(phone, tmp_path, place):
    secret = AndroidDeviceSecret(tmp_path)
    secret.create()
    sealed = bytearray(secret.path.read_bytes())
    sealed[place] ^= 1
    secret.path.write_bytes(sealed)
    assert secret.read() is None


@pytest.mark.parametrize("content", [b"", b"short", b"\x00" * 60, b"\xff" * 1000])
def test_a_damaged_file_is_no_secret(phone, tmp_path, content):
    secret = AndroidDeviceSecret(tmp_path)
    secret.create()
    secret.path.write_bytes(content)
    assert secret.read() is None


def test_a_vault_opens_with_it_and_says_when_the_keystore_forgot(phone, tmp_path):
    vault = Vault(tmp_path, AndroidDeviceSecret(tmp_path))
    vault.create(PASSCODE)
    vault.lock()
    vault.unlock(PASSCODE)
    assert vault.is_open
    vault.lock()
    phone.keystore.forget()
    with pytest.raises(LostDeviceSecretError):
        Vault(tmp_path, AndroidDeviceSecret(tmp_path)).unlock(PASSCODE)
    vault.start_anew(PASSCODE)
    vault.lock()
    vault.unlock(PASSCODE)
    assert vault.is_open


def test_what_was_recorded_before_the_keystore_forgot_still_goes_to_the_study_and_new_work_goes_on(phone, tmp_path):
    vault = Vault(tmp_path, AndroidDeviceSecret(tmp_path))
    vault.create(PASSCODE)
    records = Records(tmp_path, vault, STUDY_PUBLIC)
    before = Casebook(records, STUDY)
    earlier = recorded(before, consented(before, 17))
    records.close()
    vault.lock()
    phone.keystore.forget()
    vault = Vault(tmp_path, AndroidDeviceSecret(tmp_path))
    with pytest.raises(LostDeviceSecretError):
        vault.unlock(PASSCODE)
    vault.start_anew(PASSCODE)
    records = Records(tmp_path, vault, STUDY_PUBLIC)
    assert records.unreadable > 0
    after = Casebook(records, STUDY)
    later = recorded(after, consented(after, 18))
    handed_over = write_handover(records, STUDY, tmp_path / "handover")
    assert {earlier, later} <= set(handed_over.rows)
    assert [attempt.record_id for attempt in after.attempts()] == [later]
    records.close()
