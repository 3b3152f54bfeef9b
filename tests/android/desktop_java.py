"""Compiles the application's Java against the stubs of Android, and starts a desktop's Java with both."""

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from app.devices.android.activity import activity
from app.devices.android.java import find_classes

ROOT = Path(__file__).resolve().parents[2]
JAVA = ROOT / "app" / "android" / "java"
STUBS = ROOT / "tests" / "android" / "stubs"
# "options" would say that Java 8 is old, which is the phones' matter.
COMPILED_VARIABLE = "TUSSIS_JAVA_CLASSES"  # where a process before this one compiled them
# The stub of Android's open files tells their numbers, which Java keeps to itself.
OPTIONS = ("-Xrs", "-Xmx512m", "--add-opens=java.base/java.io=ALL-UNNAMED")
STRICT = ("-Xlint:all,-options", "-Werror")


def reason_to_skip() -> str:
    """Why Java cannot be driven from here; empty where it can."""
    if shutil.which("javac") is None:
        return "javac is not installed (Debian: default-jdk-headless)"
    if importlib.util.find_spec("jnius") is None:
        return "pyjnius is not installed (pip install '.[android-tests]')"
    return ""


def compile_java(sources: Path, out: Path, *options: str, classpath: Path | None = None) -> None:
    """Compile all of a folder as Gradle does, for Java 8; AssertionError with javac's words where it refuses."""
    files = sorted(str(path) for path in sources.rglob("*.java"))
    given = ["-classpath", str(classpath)] if classpath else []
    command = ["javac", "--release", "8", *options, *given, "-d", str(out), *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode != 0 or done.stderr.strip():
        raise AssertionError(f"javac says:\n{done.stderr}")


@cache
def compiled() -> tuple[Path, Path]:
    """Folders with the stubs' classes and the application's, compiled once for a process."""
    if given := os.environ.get(COMPILED_VARIABLE):
        stubs, ours = map(Path, given.split(os.pathsep))
        return stubs, ours
    out = Path(tempfile.mkdtemp(prefix="tussis-java-"))
    stubs, ours = out / "stubs", out / "ours"
    compile_java(STUBS, stubs, "-Xlint:-options")
    compile_java(JAVA, ours, *STRICT, classpath=stubs)
    return stubs, ours


@cache
def start_java() -> None:
    """Start this process' only Java, and find the application's classes in it."""
    import jnius_config

    if not jnius_config.vm_running:
        jnius_config.add_options(*OPTIONS, f"-Dtussis.res={ROOT / 'app' / 'android' / 'res'}")
        jnius_config.set_classpath(*map(str, compiled()))
    find_classes()


class Switches:
    """The stub phone's switches, by their names in Java."""

    def __init__(self) -> None:
        from jnius import autoclass

        self._switch = autoclass("org.tussis.stub.Switch")
        self.phone = autoclass("org.tussis.stub.Phone")
        self.microphone = autoclass("org.tussis.stub.Microphone")
        self.keystore = autoclass("org.tussis.stub.ForgetfulKeystore")
        self.desk = autoclass("org.tussis.stub.Desk")

    def reset(self) -> None:
        self.phone.reset()
        self.desk.reset()
        self.microphone.reset()
        self.keystore.install()
        self.set_sdk(36)

    @property
    def activity(self) -> Any:
        """The application's activity, which is its context."""
        return activity()

    def set_sdk(self, sdk: int) -> None:
        self._switch.set("android.os.Build$VERSION", "SDK_INT", sdk)

    def set(self, field: str, value: float) -> None:
        """A field of the stub Microphone, or of another stub where the name has a dot."""
        owner, _, name = field.rpartition(".")
        self._switch.set(f"org.tussis.stub.{owner or 'Microphone'}", name, float(value))

    def get(self, field: str) -> float:
        owner, _, name = field.rpartition(".")
        return self._switch.get(f"org.tussis.stub.{owner or 'Microphone'}", name)

    def threads(self, name: str) -> int:
        return self._switch.threads(name)

    def events(self) -> list[tuple[int, str]]:
        """What the stub phone noted: milliseconds and words."""
        return [(int(ms), words) for event in self.phone.told() for ms, words in [re.split(" ", event, maxsplit=1)]]


def events_of(switches: Switches) -> list[str]:
    """The words of the events alone."""
    return [words for _, words in switches.events()]
