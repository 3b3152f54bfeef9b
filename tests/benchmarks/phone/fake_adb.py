"""A program that stands in for adb, with a folder as the phone: $FAKE_PHONE holds its settings and its files.

Copied to a file named adb by `make_phone`. Its shell is this computer's, on paths moved into the folder, so that
quoting, pipes, globs and exit statuses are real; getprop, dumpsys, taskset, run-as, am and benchmark_model are small
programs in the folder's system/bin.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

SERIAL = "R58N12ABCDE"
MOVED = ("/data/local/tmp", "/sys/devices", "/proc/cpuinfo", "/proc/loadavg")
DEFAULTS = {
    "devices": [[SERIAL, "device"]],
    "leaves_at_run": None,  # the number of the run of a model, from 1, in which the phone is unplugged
    "slow_s": 0.0,  # how long each command of the shell takes
    "garbage": False,  # every answer is noise
    "full": False,  # nothing can be pushed
    "old": False,  # carriage returns, and no exit status, as before Android 7
}
BIG_KHZ, LITTLE_KHZ = 2_850_000, 1_800_000

GETPROP = """
[ro.build.version.release]: [14]
[ro.build.version.sdk]: [34]
[ro.product.cpu.abi]: [arm64-v8a]
[ro.product.manufacturer]: [Google]
[ro.product.model]: [Pixel 6]
[ro.serialno]: [R58N12ABCDE]
[ro.soc.manufacturer]: [Google]
[ro.soc.model]: [Tensor]
""".lstrip()
BATTERY = """
Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  status: 2
  level: 87
  scale: 100
  temperature: 312
  technology: Li-ion
""".lstrip()
THERMAL = """
IsStatusOverride: false
Thermal Status: 1
Cached temperatures:
	Temperature{mValue=99.0, mType=0, mName=BIG, mStatus=0}
HAL Ready: true
Current temperatures from HAL:
	Temperature{mValue=41.5, mType=0, mName=LITTLE, mStatus=0}
	Temperature{mValue=48.25, mType=0, mName=BIG, mStatus=0}
	Temperature{mValue=36.5, mType=3, mName=VIRTUAL-SKIN, mStatus=1}
Current cooling devices from HAL:
""".lstrip()
TASKSET = """#!/bin/sh
echo "taskset $1" >> "$FAKE_PHONE/calls"
shift
exec "$@"
"""
RUN_AS = """#!/bin/sh
[ "$1" = org.tussis.app ] && [ -d "$FAKE_PHONE/app" ] || { echo "run-as: unknown package: $1" >&2; exit 1; }
shift
cd "$FAKE_PHONE/app" && exec "$@"
"""
SHELL_PROGRAMS = {
    "getprop": '#!/bin/sh\ncat "$FAKE_PHONE/getprop"\n',
    "dumpsys": '#!/bin/sh\ncat "$FAKE_PHONE/dumpsys.$1"\n',
    "taskset": TASKSET,
    "run-as": RUN_AS,
}


def make_phone(folder: Path, **settings: object) -> Path:
    """A phone in `folder`; returns the folder to put first on PATH, with this file in it as adb."""
    path, phone = folder / "path", folder / "phone"
    path.mkdir(exist_ok=True)
    write_program(path / "adb", Path(__file__).read_text(encoding="utf-8"))
    programs = phone / "system" / "bin"
    programs.mkdir(parents=True)
    for name, text in SHELL_PROGRAMS.items():
        write_program(programs / name, text)
    (phone / "data" / "local" / "tmp").mkdir(parents=True)
    (phone / "proc").mkdir()
    (phone / "proc" / "cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\n")
    (phone / "proc" / "loadavg").write_text("1.75 1.10 0.90 2/3100 4123\n")
    for core in range(8):
        cpufreq = phone / "sys" / "devices" / "system" / "cpu" / f"cpu{core}" / "cpufreq"
        cpufreq.mkdir(parents=True)
        (cpufreq / "cpuinfo_max_freq").write_text(f"{BIG_KHZ if core >= 4 else LITTLE_KHZ}\n")
        (cpufreq / "scaling_governor").write_text("sched_pixel\n")
    for name, text in {"getprop": GETPROP, "dumpsys.battery": BATTERY, "dumpsys.thermalservice": THERMAL}.items():
        (phone / name).write_text(text)
    (phone / "settings.json").write_text(json.dumps({**DEFAULTS, **settings}))
    return path


def write_program(path: Path, text: str) -> None:
    """A program of this text; one in Python runs in the Python that runs the test, and starts fast."""
    path.write_text(text if text.startswith("#!") else f"#!{sys.executable} -IS\n{text}", encoding="utf-8")
    path.chmod(0o755)


class FakeAdb:
    """One call of adb."""

    def __init__(self) -> None:
        self.phone = Path(os.environ["FAKE_PHONE"])
        self.settings = json.loads((self.phone / "settings.json").read_text())

    def run(self, arguments: list[str]) -> int:
        """Do what `arguments` say, as adb 29 answers."""
        if arguments == ["devices"]:
            return self.list_devices()
        if arguments[0] != "-s":
            return self.fail(f"unknown command {arguments[0]}")
        serial, verb, *rest = arguments[1:]
        state = dict(self.devices()).get(serial)
        if state is None and verb != "shell":
            print(f"adb: error: failed to get feature set: device '{serial}' not found")
            return 1
        if state is None:
            return self.fail(f"device '{serial}' not found")
        if state != "device":
            return self.fail(f"device {state}")
        if self.settings["garbage"]:
            sys.stdout.buffer.write(bytes(range(256)))
            return 0
        return {"shell": self.shell, "push": self.push, "pull": self.pull}[verb](*rest)

    def devices(self) -> list[list[str]]:
        """Serial numbers and states; none once the phone is unplugged."""
        return [] if (self.phone / "unplugged").exists() else self.settings["devices"]

    def list_devices(self) -> int:
        """The list, after the lines of a server that has to start first."""
        print("* daemon not running; starting now at tcp:5037\n* daemon started successfully", file=sys.stderr)
        print("List of devices attached")
        for serial, state in self.devices():
            print(f"{serial}\t{state}")
        print()
        return 0

    def shell(self, script: str) -> int:
        """Run a line in this computer's shell, on the phone's paths and programs."""
        time.sleep(self.settings["slow_s"])
        if "--graph=" in script and self.is_last_run():
            (self.phone / "unplugged").touch()
            print("INFO: STARTING!\nINFO: Loaded mod", end="")
            return 255
        environment = {"PATH": f"{self.phone}/system/bin:/usr/bin:/bin", "FAKE_PHONE": str(self.phone)}
        done = subprocess.run(["/bin/sh", "-c", self.moved(script)], env=environment, stdout=subprocess.PIPE)
        answer = done.stdout.replace(str(self.phone).encode(), b"")
        sys.stdout.buffer.write(answer.replace(b"\n", b"\r\n") if self.settings["old"] else answer)
        return 0 if self.settings["old"] else done.returncode

    def is_last_run(self) -> bool:
        """Whether the phone is unplugged during this run of a model."""
        counter = self.phone / "runs"
        n_runs = 1 + (int(counter.read_text()) if counter.exists() else 0)
        counter.write_text(str(n_runs))
        return n_runs == self.settings["leaves_at_run"]

    def push(self, local: str, remote: str) -> int:
        """Copy a file to the phone."""
        if self.settings["full"]:
            return self.fail(f"failed to copy '{local}' to '{remote}': remote No space left on device", "adb: ")
        shutil.copyfile(local, self.moved(remote))
        print(f"{local}: 1 file pushed, 0 skipped.")
        return 0

    def pull(self, remote: str, local: str) -> int:
        """Copy a file from the phone."""
        if not Path(self.moved(remote)).is_file():
            return self.fail(f"failed to stat remote object '{remote}': No such file or directory", "adb: ")
        shutil.copyfile(self.moved(remote), local)
        return 0

    def moved(self, text: str) -> str:
        """A line with the phone's paths as those in its folder."""
        for start in MOVED:
            text = text.replace(start, f"{self.phone}{start}")
        return text

    def fail(self, reason: str, prefix: str = "") -> int:
        """adb's way to say what went wrong."""
        print(f"{prefix}error: {reason}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(FakeAdb().run(sys.argv[1:]))
