"""The machine: heat and clock are read where the system tells them."""

import json
import os

from benchmarks.results.device import describe_device, fastest_clock_mhz, temperature_c, thermal_zones


def test_heat_and_clock_are_read_where_the_system_tells_them(tmp_path):
    for number, (kind, heat) in enumerate((("battery", "31000"), ("cpu-thermal", "72500"), ("gone", ""))):
        zone = tmp_path / f"thermal_zone{number}"
        zone.mkdir()
        (zone / "type").write_text(kind)
        (zone / "temp").write_text(heat)
    assert thermal_zones(tmp_path) == {"thermal_zone0 battery": 31.0, "thermal_zone1 cpu-thermal": 72.5}
    assert thermal_zones(tmp_path / "gone") == {}
    for core, khz in enumerate(("1800000", "2400000")):
        (tmp_path / f"cpu{core}" / "cpufreq").mkdir(parents=True)
        (tmp_path / f"cpu{core}" / "cpufreq" / "scaling_cur_freq").write_text(khz)
    assert fastest_clock_mhz(tmp_path) == 2400.0


def test_the_device_is_described_without_its_name():
    import platform

    device = describe_device()
    names = {"device", "machine", "cpu", "n_cores", "instructions", "governor", "cpu_mhz", "temperature_c", "os"}
    assert set(device) == names
    assert device["n_cores"] == os.cpu_count() and device["cpu"]
    assert not platform.node() or platform.node() not in json.dumps(device).split()


def test_the_hottest_zone_counts_and_one_that_cannot_be_read_does_not(tmp_path):
    for zone, text in (("thermal_zone0", "41000\n"), ("thermal_zone1", "52500\n"), ("thermal_zone2", "broken")):
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "temp").write_text(text)
    assert temperature_c(tmp_path) == 52.5
    assert temperature_c(tmp_path / "gone") is None
