import shutil

from benchmarks.phone.adb import choose_phone
from benchmarks.phone.device import describe_phone, pinned, read_condition
from tests.benchmarks.phone.fake_adb import SERIAL


def test_a_phone_is_described_without_its_serial_number(plug):
    plug()
    description = describe_phone(choose_phone())
    assert description.provenance() == {
        **{"device": "Google Pixel 6", "machine": "aarch64", "cpu": "Google Tensor", "n_cores": 8},
        **{"instructions": ["asimddp", "i8mm"], "governor": "sched_pixel", "cpu_mhz": 2850.0},
        "os": "Android 14 (SDK 34)",
    }
    assert description.big_cores() == (4, 5, 6, 7)
    assert SERIAL not in repr(description)


def test_the_condition_is_that_of_this_moment_and_not_what_was_cached(plug):
    plug()
    assert read_condition(choose_phone()).facts() == {
        **{"battery_c": 31.2, "battery_percent": 87, "is_charging": True, "thermal_status": "light"},
        **{"cpu_c": 48.25, "skin_c": 36.5, "load": 1.75},
    }


def test_a_phone_that_tells_nothing_of_itself_is_described_as_unknown(plug):
    folder, _ = plug()
    (folder / "getprop").write_text("what?\n[]\n")
    (folder / "dumpsys.battery").write_text("Can't find service: battery\n")
    (folder / "dumpsys.thermalservice").unlink()
    shutil.rmtree(folder / "sys")
    phone = choose_phone()
    description = describe_phone(phone)
    assert (description.model, description.processor, description.sdk, description.cores) == (
        "unknown",
        "unknown",
        0,
        (),
    )
    assert description.big_cores() == ()
    assert read_condition(phone).facts() == {"load": 1.75}


def test_a_command_is_pinned_to_cores_by_a_hexadecimal_mask():
    assert pinned(["x"], (4, 5, 6, 7)) == ["taskset", "f0", "x"]
    assert pinned(["x"], (0, 9)) == ["taskset", "201", "x"]
    assert pinned(["x"], ()) == ["x"]
