"""Tests what a phone tells of itself and of this moment."""

from app.devices.android.condition import phone_facts, read_condition


def test_heat_and_battery_are_read(phone):
    condition = read_condition()
    assert (condition.battery_c, condition.battery_percent, condition.is_charging) == (31.4, 80, True)
    assert condition.thermal_status == "light"


def test_an_older_phone_says_less(phone):
    phone.set_sdk(28)
    assert read_condition().thermal_status is None
    assert phone_facts()["cpu"] == "stubboard"


def test_the_phone_is_told_by_model_processor_and_android_never_by_its_number(phone):
    facts = phone_facts()
    assert {key: facts[key] for key in ("device", "cpu", "os", "abi")} == {
        "device": "Stub Phone 1",
        "cpu": "Stub S1",
        "os": "Android 16 (SDK 36)",
        "abi": "arm64-v8a",
    }
