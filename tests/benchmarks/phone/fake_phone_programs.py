"""Programs of the fake phone that answer as benchmark_model and the app do, and how a test runs the command."""

from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from benchmarks.command import app
from benchmarks.phone.app import APP_FORMAT
from tests.benchmarks.phone.fake_adb import make_phone, write_program

DATA = Path(__file__).parents[2] / "data" / "benchmark_model"
GPU = "gpu_part"
# A program that answers as benchmark_model does; its times grow with $FAKE_PHONE/factor.FILE of the model it is given.
TOOL = """
import os, re, sys
from pathlib import Path
flags = dict(flag.removeprefix("--").split("=", 1) for flag in sys.argv[1:])
phone, data = Path(os.environ["FAKE_PHONE"]), Path(DATA)
graph = Path(flags["graph"])
if not graph.read_bytes()[4:8] == b"TFL3":
    print("ERROR: Failed to load model " + flags["graph"], file=sys.stderr)
    sys.exit(1)
kind = "gpu_none" if "use_nnapi" in flags else GPU if "use_gpu" in flags else "xnnpack"
kind = "builtin" if flags.get("use_xnnpack") == "false" else kind
with (phone / "calls").open("a") as calls:
    print("run", graph.name, kind, flags["num_threads"], flags["num_runs"], flags["warmup_runs"], file=calls)
table = flags.get("profiling_output_csv_file")
if table:
    Path(table).write_text((data / "litert_operators.csv").read_text())
factor = phone / f"factor.{graph.name}"
scale = float(factor.read_text()) if factor.exists() else 1
text = (data / f"tf2_16_{kind}.txt").read_text()
def slower(match):
    return match[1] + f"{scale * float(match[2]):g}"
for key in ("first=", "curr=", "min=", "max=", "avg=", "std=", "p5=", "median=", "p95=", r"inference: ", r"avg\\): "):
    text = re.sub("(" + key + ")([0-9.]+)", slower, text)
print(text, end="")
"""
# The app's side of the contract, started by am: it times nothing and writes what the contract says.
AM = f"""
import json, os, sys
from pathlib import Path
words, phone = sys.argv[1:], Path(os.environ["FAKE_PHONE"])
with (phone / "calls").open("a") as calls:
    print("am", *words, file=calls)
if words[0] == "force-stop":
    sys.exit(0)
if (phone / "no-activity").exists():
    print("Starting: Intent\\nError type 3\\nError: Activity class does not exist.")
    sys.exit(0)
extras = {{key: value for flag, key, value in zip(words, words[1:], words[2:]) if flag in ("--es", "--ei")}}
folder = phone / "app" / "files" / "benchmark"
answer = {{"format": "{APP_FORMAT}", "request": extras["request"]}}
if not (folder / extras["model"]).read_bytes()[4:8] == b"TFL3":
    answer["error"] = "the model is none"
elif extras["delegate"] == "gpu":
    answer["error"] = "this phone has no GPU delegate"
else:
    runs = [2 + n % 7 / 10 for n in range(int(extras["runs"]))]
    answer |= {{"runtime": "LiteRT 1.4.0", "load_ms": 3.5, "first_run_ms": 9.25, "n_runs": len(runs), "runs_ms": runs}}
(folder / (extras["request"] + ".json")).write_text(json.dumps(answer))
"""


def make_phone_and_tool(folder: Path, gpu: str = GPU, **settings: object) -> tuple[Path, Path]:
    """A fake adb in ``folder/path``, its phone in ``folder/phone``; returns the phone and a tool to push to it.

    `gpu` is the recorded output that the tool gives where the GPU is asked for.
    """
    make_phone(folder, **settings)
    tool = folder / "android_benchmark_model"
    write_program(tool, TOOL.replace("DATA", repr(str(DATA)), 1).replace("GPU", repr(gpu), 1).lstrip())
    return folder / "phone", tool


def run(*arguments: object) -> Result:
    """``tussis-benchmark phone`` with these arguments."""
    return CliRunner().invoke(app, ["phone", *map(str, arguments)])


def calls(phone_folder: Path) -> list[str]:
    """What the phone's programs were called with, in order."""
    path = phone_folder / "calls"
    return path.read_text().splitlines() if path.exists() else []


def left_on(phone_folder: Path) -> list[Path]:
    """What lies where adb may write."""
    return list((phone_folder / "data/local/tmp").iterdir())
