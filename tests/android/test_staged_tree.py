"""Checks what goes onto the phone: it compiles under each Python that is there, and imports only what a phone has."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "app" / "android" / "buildozer.spec"
# Beside the standard library: the requirements of buildozer.spec, as they are imported.
ON_A_PHONE = {"numpy", "kivy", "jnius", "cryptography", "core", "app"}
# Imported inside functions that a phone does not reach, or that say what is missing.
ELSEWHERE = {"ai_edge_litert", "av", "sounddevice"}
# What python-for-android leaves out of Python: recipes/python3 and the SDL bootstrap's blacklist.txt.
LEFT_OUT = {
    *("test", "tests", "lib2to3", "ensurepip", "idlelib", "tkinter", "unittest", "wsgiref", "pydoc_data", "pydoc"),
    *("doctest", "turtle", "turtledemo", "venv", "curses", "readline", "winreg", "winsound", "msvcrt"),
}
ON_WINDOWS = {"msvcrt"}  # imported inside functions that ask for the platform first


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("staged") / "tree"
    subprocess.run([sys.executable, ROOT / "app" / "android" / "stage_tree.py", out], check=True, timeout=60)
    return out


def imports(tree: Path) -> Iterator[tuple[str, str, bool]]:
    """Module, what it imports, and whether at its top."""
    for path in sorted(tree.rglob("*.py")):
        parsed = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(parsed):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in names:
                yield path.relative_to(tree).as_posix(), name.partition(".")[0], node in parsed.body


def test_the_tree_holds_the_app_core_the_bundle_and_the_start(tree):
    names = {path.relative_to(tree).as_posix() for path in tree.rglob("*")}
    assert {"main.py", "app/main.py", "core/screener.py", "core/bundles/default/bundle.json"} <= names
    assert not any(name.startswith(("app/android", "app/coordinator")) for name in names)
    assert not any("__pycache__" in name or name.endswith((".pyc", ".java", ".po")) for name in names)


@pytest.mark.long
def test_nothing_in_the_tree_imports_what_a_phone_lacks(tree):
    lacking = [
        f"{module} imports {name}"
        for module, name, at_top in imports(tree)
        if name in LEFT_OUT - (set() if at_top else ON_WINDOWS)
        or name not in {*sys.stdlib_module_names, *ON_A_PHONE, *(set() if at_top else ELSEWHERE)}
    ]
    assert lacking == []


def test_a_tree_is_staged_anew_and_another_folder_is_never_removed(tree):
    (tree / "core" / "old.py").write_text("")
    stage = [sys.executable, ROOT / "app" / "android" / "stage_tree.py"]
    subprocess.run([*stage, tree], check=True, timeout=60)
    assert not (tree / "core" / "old.py").exists()
    other = tree.parent / "precious"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    refused = subprocess.run([*stage, other], capture_output=True, text=True, timeout=60)
    assert refused.returncode != 0 and "holds no main.py" in refused.stderr
    assert (other / "thesis.txt").read_text() == "mine"


def pythons() -> Iterator[str]:
    """One of each version from 3.11 up to the package's, where there is one that starts."""
    newest = int(re.search(r"python3==3\.(\d+)", SPEC.read_text())[1])
    for minor in range(11, newest + 1):
        found = shutil.which(f"python3.{minor}")
        beside = Path(found).parents[1].glob(f"versions/3.{minor}.*/bin/python3.{minor}") if found else ()  # pyenv's
        works = (path for path in filter(None, (found, *map(str, beside))) if starts(path))
        yield from list(works)[:1]


def starts(python: str) -> bool:
    return subprocess.run([python, "--version"], capture_output=True, timeout=60).returncode == 0


@pytest.mark.parametrize("python", list(pythons()))
def test_every_module_compiles_without_asserts_and_docstrings(tree, python):
    done = subprocess.run(
        [python, "-OO", "-W", "error::SyntaxWarning", "-m", "compileall", "-q", "-f", tree],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
