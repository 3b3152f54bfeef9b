"""Checks the project's shape: the arrows, the phone's imports, declared libraries, sizes, names and commands."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("core", "distill", "quantize", "app", "benchmarks")
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40
MAX_FOLDER_MODULES = 22
MAX_SAME_FIRST_WORD = 2
MAX_TRACKED_BYTES = 16 * 1024 * 1024
VAGUE_NAMES = {"utils", "helpers", "misc", "common", "manager", "base", "engine"}
ABSENT_ON_A_PHONE = (
    *("torch", "torchaudio", "torchao", "transformers", "scipy", "librosa", "soundfile", "av", "soxr", "sklearn"),
    *("litert_torch", "ai_edge_quantizer", "onnx", "onnxruntime", "matplotlib", "pydantic", "typer", "rich"),
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COMMANDS = PROJECT["scripts"]
EXTRAS_OF = {  # core opens other formats than WAV with PyAV where it is installed
    "core": ("formats",),
    "app": ("app", "android-tests"),
    "distill": ("train", "cluster"),
    "quantize": ("quantize",),
    "benchmarks": ("bench",),
}
DISTRIBUTIONS = {"jnius": "pyjnius", "sklearn": "scikit-learn"}  # where the module has another name
WHOLE_FLOWS = {  # test files that try several modules of a folder together
    "tests/app/test_nothing_lost.py",
    "tests/app/test_whole_day.py",
    "tests/core/test_field_files.py",
    "tests/quantize/test_full_disk.py",
    "tests/quantize/test_quantize_refusals.py",
    "tests/quantize/test_reproducible_bundle.py",
    "tests/quantize/test_signing.py",
    "tests/quantize/test_tuned_student.py",
}
HEAVY = (
    "torch",
    "scipy",
    "sklearn",
    "matplotlib",
    "librosa",
    "transformers",
    "litert_torch",
    "ai_edge_quantizer",
    "ray",
)

IMPORT_ALL_ON_A_PHONE = """
import importlib, json, pkgutil, sys

blocked, has_kivy = set(json.loads(sys.argv[1])), json.loads(sys.argv[2])

class AbsentLibraries:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is not on a phone", name=name)

sys.meta_path.insert(0, AbsentLibraries())
imported, failed = [], {}
for folder in ("core", "app"):
    package = importlib.import_module(folder)
    for module in pkgutil.walk_packages(package.__path__, folder + ".", onerror=lambda name: None):
        try:
            importlib.import_module(module.name)
            imported.append(module.name)
        except ImportError as error:
            if has_kivy or (error.name or "").partition(".")[0] != "kivy":
                failed[module.name] = repr(error)
print("RESULT" + json.dumps({"imported": imported, "failed": failed}))
"""


def modules(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def listed(offenders: dict[str, object]) -> str:
    return "\n" + "\n".join(f"{name}: {what}" for name, what in offenders.items())


def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "KIVY_NO_ARGS": "1", "KIVY_NO_CONSOLELOG": "1", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_folders_import_each_other_only_along_the_arrows():
    check = run_python("-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))")
    assert check.returncode == 0, check.stdout + check.stderr


def test_phone_side_imports_without_any_workstation_library(tmp_path):
    has_kivy = (
        run_python("-c", "import importlib.util, sys; sys.exit(not importlib.util.find_spec('kivy'))").returncode == 0
    )
    arguments = (json.dumps(ABSENT_ON_A_PHONE), json.dumps(has_kivy))
    twin = run_python("-c", IMPORT_ALL_ON_A_PHONE, *arguments, SDL_VIDEODRIVER="offscreen", KIVY_HOME=str(tmp_path))
    assert twin.returncode == 0, twin.stderr
    result = json.loads(twin.stdout.partition("RESULT")[2])
    assert not result["failed"], listed(result["failed"])
    assert {"core.screener", "core.interpreter", "core.screen_command"} <= set(result["imported"])


def test_the_phone_blocker_blocks():
    script = IMPORT_ALL_ON_A_PHONE.partition("imported, failed")[0] + "import soundfile"
    assert "soundfile is not on a phone" in run_python("-c", script, json.dumps(["soundfile"]), "true").stderr


def test_no_module_has_a_name_that_says_nothing():
    assert [
        relative(path) for path in modules(*PACKAGES) if path.stem in VAGUE_NAMES or path.parent.name in VAGUE_NAMES
    ] == []


def test_no_folder_holds_more_modules_than_a_reader_can_scan():
    folders = Counter(relative(path.parent) for path in modules(*PACKAGES) if path.name != "__init__.py")
    crowded = {folder: count for folder, count in folders.items() if count > MAX_FOLDER_MODULES}
    assert not crowded, listed(crowded)


def test_no_three_modules_of_a_folder_share_their_first_word():
    first_words = Counter(
        (relative(path.parent), path.stem.partition("_")[0]) for path in modules(*PACKAGES) if path.stem != "__init__"
    )
    alike = {
        f"{folder}/{word}_*": count for (folder, word), count in first_words.items() if count > MAX_SAME_FIRST_WORD
    }
    assert not alike, listed(alike)


def test_every_test_file_is_named_after_the_module_it_tests():
    wanted = {
        relative(path): path.relative_to(ROOT / "tests").with_name(path.name.removeprefix("test_")).as_posix()
        for folder in PACKAGES
        for path in modules(f"tests/{folder}")
        if path.name.startswith("test_")
    }
    astray = {test: f"no {module}" for test, module in wanted.items() if not (ROOT / module).is_file()}
    assert astray.keys() == WHOLE_FLOWS, listed(astray)


def test_every_library_is_declared_by_the_extra_of_the_folder_that_imports_it():
    undeclared = {
        relative(path): sorted(libraries - declared_for(path.relative_to(ROOT).parts[0]))
        for path in modules(*PACKAGES)
        if (libraries := imported_libraries(path)) - declared_for(path.relative_to(ROOT).parts[0])
    }
    assert not undeclared, listed(undeclared)


def imported_libraries(path: Path) -> set[str]:
    """The distributions that a module imports, at its top or inside its functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return {DISTRIBUTIONS.get(name, name).replace("_", "-") for name in names - sys.stdlib_module_names - {*PACKAGES}}


def declared_for(folder: str) -> set[str]:
    """The distributions that the project and the folder's extras ask for."""
    return {name for extra in (None, *EXTRAS_OF[folder]) for name in requirements(extra)}


def requirements(extra: str | None) -> set[str]:
    """Names of what the project (None) or an extra asks for, through the project's own extras as well."""
    names = set()
    for line in PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]:
        name, own_extras = re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?", line).groups()
        names |= {name.replace("_", "-")}
        if name == PROJECT["name"]:
            names |= {library for own in own_extras.split(",") for library in requirements(own)}
    return names


def test_no_module_is_longer_than_400_lines():
    lengths = {
        relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules(*PACKAGES, "tests")
    }
    too_long = {path: length for path, length in lengths.items() if length > MAX_MODULE_LINES}
    assert not too_long, listed(too_long)


def test_no_function_is_longer_than_40_lines_beside_its_docstring():
    lengths = {
        f"{relative(path)}:{node.lineno} {node.name}": code_lines(node)
        for path in modules(*PACKAGES, "tests")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    too_long = {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES}
    assert not too_long, listed(too_long)


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    docstring_lines = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) is not None else 0
    return node.end_lineno - node.lineno + 1 - docstring_lines


def test_every_module_says_in_one_sentence_what_it_is():
    docstrings = {
        relative(path): ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        for path in modules(*PACKAGES)
    }
    wrong = {path: text for path, text in docstrings.items() if not is_one_sentence(text)}
    assert not wrong, listed(wrong)


def is_one_sentence(text: str) -> bool:
    return text.endswith(".") and "\n\n" not in text and not re.search(r"[.!?]\s+[A-Z]", text)


def test_is_one_sentence_tells_one_from_two():
    assert is_one_sentence("What the phone runs, e.g. a bundle of format 1.0.")
    assert not is_one_sentence("What the phone runs. And more.")
    assert not is_one_sentence("")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    module, function = COMMANDS[command].split(":")
    assert function == "main"
    script = f"import sys; sys.argv[0] = {command!r}; from {module} import main; sys.exit(main())"
    shown = run_python("-c", script, "--help", COLUMNS="120")
    assert shown.returncode == 0, shown.stderr
    assert "usage" in shown.stdout.lower()


def test_the_makefile_runs_the_programs_of_tests_as_modules():
    """A script's folder comes first on the path, and there ``tests/core`` hides ``core``."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "python tests/" not in makefile
    modules = re.findall(r"-m (tests\.\S+)", makefile)
    assert modules and [name for name in modules if not (ROOT / f"{name.replace('.', '/')}.py").is_file()] == []


def test_tracked_files_stay_under_16_mib():
    assert sum(path.stat().st_size for path in tracked_files()) < MAX_TRACKED_BYTES


def test_no_tracked_file_names_a_folder_of_somebodys_machine():
    personal = re.compile(rb"(?<![\w.~-])/(?:home|root|work)/\w")
    assert [relative(path) for path in tracked_files() if personal.search(path.read_bytes())] == []
