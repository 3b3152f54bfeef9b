"""The machine: heat and clock are read where the system tells them."""

from benchmarks.results.device import fastest_clock_mhz, thermal_zones


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
