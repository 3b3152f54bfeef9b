import platform
import shutil

import pytest

from benchmarks.arm64.debian import (
    EMULATOR,
    KEY,
    Arm64Root,
    EmulationError,
    Preparation,
    check_this_machine,
    compile_counter,
)


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
    (tmp_path / "host/usr/bin").mkdir(parents=True)
    (tmp_path / "host/usr/bin" / EMULATOR).touch()
    for content, is_ready in ((None, False), ("", False), ("of other packages", False), (KEY, True)):
        if content is not None:
            (tmp_path / "prepared").write_text(content, encoding="utf-8")
        assert root.is_ready == is_ready


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_the_instruction_counter_compiles_without_a_warning(tmp_path):
    compile_counter(tmp_path / "counter.so")
    assert (tmp_path / "counter.so").read_bytes()[:4] == b"\x7fELF"
