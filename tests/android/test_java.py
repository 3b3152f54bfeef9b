"""Checks the application's Java: it compiles strictly, and calls only what Android has, behind version checks."""

import re
import shutil
from functools import cache
from pathlib import Path

import pytest

from app.devices.android.java import ANDROIDS, NEWER_ANDROIDS
from tests.android.bytecode import JavaClass, android_calls, offered, overridden, read_classes, unguarded
from tests.android.desktop_java import STRICT, compile_java, compiled

LEVELS = Path(__file__).with_name("api_levels.txt")
LOWEST_API = 24
ONLY_IN_THE_STUBS = {
    "android.app.PendingIntent.touchLast()",
    "android.app.Notification.text()",
    "android.net.Uri.of(Ljava/lang/String;)",
}

pytestmark = pytest.mark.skipif(
    shutil.which("javac") is None, reason="javac is not installed (Debian: default-jdk-headless)"
)


@cache
def classes() -> tuple[dict[str, JavaClass], dict[str, JavaClass]]:
    """The stubs' classes and the application's."""
    stubs, ours = compiled()
    return read_classes(stubs), read_classes(ours)


@cache
def known(kind: str) -> dict[str, str]:
    """What the committed list says of each method, class or constant."""
    lines = [line.split(" ", 1)[1] for line in LEVELS.read_text().splitlines() if line.startswith(kind)]
    return {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in lines}


def too_new(ours: dict[str, JavaClass], lowest_api: int = LOWEST_API) -> list[str]:
    """Calls of methods newer than the oldest phone, outside of a class that is named for their level."""
    return [
        f"{java_class.name} calls {call}, of API {known('method')[str(call)]}"
        for java_class, call, _ in android_calls(ours)
        if int(known("method")[str(call)]) > max(lowest_api, java_class.level)
    ]


@pytest.mark.long
def test_the_four_classes_compile_with_all_warnings_as_errors():
    _, ours = classes()
    outer = {name.rpartition(".")[2] for name in ours if "$" not in name}
    assert outer == {"Capture", "RecorderService", "DeviceKey", "ModelRunner"}


def test_a_warning_would_fail_the_build(tmp_path):
    (tmp_path / "Careless.java").write_text(
        "class Careless { Object list() { return new java.util.ArrayList(); } }"  # a raw type
    )
    with pytest.raises(AssertionError, match="rawtypes"):
        compile_java(tmp_path, tmp_path / "out", *STRICT)


@pytest.mark.long
def test_every_method_of_android_exists_with_those_arguments():
    stubs, ours = classes()
    calls = {str(call) for _, call, _ in android_calls(ours)} | {str(call) for call in overridden(ours, stubs)}
    assert len(calls) > 60
    absent = sorted(call for call in calls if known("method").get(call, "None") == "None")
    assert absent == [], "see tests/android/make_api_levels.py"
    listed = {call for call, level in known("method").items() if level != "None"}
    assert sorted(listed - calls - {str(call) for call in offered(stubs)}) == [], "listed, and used no more"


def test_the_stubs_offer_python_nothing_that_android_lacks():
    stubs, _ = classes()
    absent = {str(call) for call in offered(stubs) if known("method").get(str(call), "None") == "None"}
    assert absent == ONLY_IN_THE_STUBS


def test_what_is_newer_than_the_oldest_phone_stands_behind_a_version_check():
    _, ours = classes()
    assert too_new(ours) == []
    assert unguarded(ours) == []


@pytest.mark.long
def test_the_version_check_is_seen_to_be_missing_or_too_low(tmp_path):
    stubs, _ = compiled()
    newer = "static void go(android.content.Context c) { c.startForegroundService(null); }"

    def caller(name: str, check: str) -> str:
        return f"void {name}(android.content.Context c) {{ {check} {{ Api26.go(c); }} }} "

    version = "android.os.Build.VERSION.SDK_INT"
    (tmp_path / "Bad.java").write_text(
        f"class Bad {{ {newer} {caller('low', f'if ({version} >= 25)')} {caller('none', '')}"
        f"{caller('right', f'if ({version} >= 26)')} static final class Api26 {{ {newer} }} }}"
    )
    compile_java(tmp_path, tmp_path / "out", classpath=stubs)
    bad = read_classes(tmp_path / "out")
    assert [re.sub(r"\(.*\)", "", line) for line in too_new({**bad}) if "Bad calls" in line] == [
        "Bad calls android.content.Context.startForegroundService, of API 26"
    ]
    assert sorted(re.search(r"after a check for (\d+)", line)[1] for line in unguarded(bad)) == ["0", "25"]


def test_the_stubs_constants_are_androids_because_javac_copies_them_into_the_app():
    stubs, _ = classes()
    constants = {
        f"{name}.{field}": value
        for name, java_class in stubs.items()
        if name.startswith("android.")
        for field, value in java_class.constants.items()
    }
    assert len(constants) > 25
    listed = dict(line.split(" ", 1) for line in known("constant"))
    assert constants == listed


def test_the_classes_that_python_asks_for_exist():
    levels = {name: int(level) for name, level in known("class").items()}
    assert all(levels[name] <= LOWEST_API for name in ANDROIDS)
    assert {name: levels[name] for name in NEWER_ANDROIDS} == NEWER_ANDROIDS
