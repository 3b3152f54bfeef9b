import platform
import shutil

import pytest

from benchmarks.arm64.debian import (
    Arm64Root,
    EmulationError,
    Preparation,
    check_this_machine,
    compile_counter,
    fetched_bytes,
)


def test_fetched_sizes_are_read_from_what_apt_prints():
    output = "Get:1 x [151 kB]\nFetched 9,314 kB in 3s (2764 kB/s)\nReading\nFetched 15.6 MB in 0s (99 MB/s)\n"
    assert fetched_bytes(output) == 9_314_000 + 15_600_000
    assert fetched_bytes("Fetched 320 B in 0s (1 B/s)\nAll is up to date.") == 320
    assert fetched_bytes("") == 0


def test_packages_that_take_too_long_are_given_up(fake_tools, tmp_path):
    fake_tools("exec /bin/sleep 30")
    with pytest.raises(EmulationError, match=r"takes longer than 0\.5 s"):
        Preparation(tmp_path, say=print, limit_s=0.5).run()


def test_another_machine_than_x86_is_told_so(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(shutil, "which", lambda tool: f"/usr/bin/{tool}")
    with pytest.raises(EmulationError, match="an x86-64 machine to compare with is needed; this one is aarch64"):
        check_this_machine()


def test_a_folder_of_other_packages_or_half_made_is_not_ready(tmp_path):
    root = Arm64Root(tmp_path)
    for content in (None, "{", "[]", '{"key": "of other packages"}'):
        if content is not None:
            (tmp_path / "prepared.json").write_text(content, encoding="utf-8")
        assert root.report() is None


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_the_instruction_counter_compiles_without_a_warning(tmp_path):
    compile_counter(tmp_path / "counter.so")
    assert (tmp_path / "counter.so").read_bytes()[:4] == b"\x7fELF"
