"""Installs Tussis as a stranger would: from a clone, with the phone's libraries or with those of one extra."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS_OF_EXTRAS = {  # what each extra is for
    "app": ("core", "app"),
    "train": ("core", "distill"),
    "cluster": ("core", "distill"),
    "quantize": ("core", "distill", "quantize"),
    "bench": ("core", "distill", "quantize", "benchmarks"),
}
IMPORT_EVERYTHING = """
import ast, importlib, os, pathlib, sys

os.environ |= {"KIVY_NO_ARGS": "1", "KIVY_NO_CONSOLELOG": "1", "SDL_VIDEODRIVER": "offscreen"}
optional, folders = set(sys.argv[1].split(",")), sys.argv[2:]
missing = set()
for path in (path for folder in folders for path in sorted(pathlib.Path(folder).rglob("*.py"))):
    importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):  # those inside functions too
        named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        named += [node.module] if isinstance(node, ast.ImportFrom) else []
        for name in {name.partition(".")[0] for name in named} - optional:
            try:
                importlib.import_module(name)
            except ImportError as error:
                missing.add(f"{path}: {error!r}")
sys.exit("\\n".join(sorted(missing)) or 0)
"""
pytestmark = pytest.mark.slow  # installs from a package registry


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `command` with nothing inherited from the environment or the make that runs these tests."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAKE", "MFLAGS", "VIRTUAL_ENV", "PYTHON", "TUSSIS", "RECORDING"))
    }
    return subprocess.run(
        command,
        cwd=folder,
        env={**inherited, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1200,
    )


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    if not (ROOT / ".git").exists() or not shutil.which("git") or not shutil.which("make"):
        pytest.skip("needs a git checkout, git and make")
    folder = tmp_path_factory.mktemp("a fresh clone") / "tussis"
    cloned = run(["git", "clone", "--quiet", "--depth", "1", ROOT.as_uri(), str(folder)], ROOT)
    assert cloned.returncode == 0, cloned.stderr
    return folder


@pytest.fixture(scope="module")
def first_screening(clone):
    return run(["make", "screen"], clone)


def test_make_screen_sets_itself_up_and_screens_the_demonstration(first_screening):
    assert first_screening.returncode == 0, first_screening.stderr
    assert "SYNTHETIC" in first_screening.stdout
    assert "cough" in first_screening.stdout.lower()


def test_the_environment_holds_no_workstation_library(clone, first_screening):
    listed = run([".venv/bin/python", "-m", "pip", "list", "--format=json"], clone)
    names = {package["name"].lower() for package in json.loads(listed.stdout)}
    assert {"numpy", "ai-edge-litert", "tussis"} <= names
    assert names & {"torch", "scipy", "librosa", "soundfile", "av", "kivy", "typer", "rich", "pydantic"} == set()


def test_make_screen_needs_no_network_again_and_takes_a_path_with_spaces(clone, first_screening):
    recording = clone / "my 'own' $recording.wav"
    shutil.copy(clone / "runs" / "demonstration.wav", recording)
    nowhere = "http://127.0.0.1:9"
    again = run(
        ["make", "screen", f"RECORDING={recording.name}"],
        clone,
        PIP_NO_INDEX="1",
        http_proxy=nowhere,
        https_proxy=nowhere,
    )
    assert again.returncode == 0, again.stderr
    assert recording.name in again.stdout
    assert "Setting up" not in again.stdout
    assert "SYNTHETIC" not in again.stdout


def test_make_screen_passes_on_the_status_of_a_bad_recording(clone, first_screening):
    refused = run(["make", "screen", "RECORDING=absent.wav"], clone)
    assert refused.returncode != 0
    assert "absent.wav" in refused.stderr


@pytest.mark.parametrize("extra", FOLDERS_OF_EXTRAS)
def test_an_extra_alone_brings_all_that_its_folders_import(extra, clone, tmp_path):
    python = str(tmp_path / "bin" / "python")
    created = run([sys.executable, "-m", "venv", str(tmp_path)], clone)
    assert created.returncode == 0, created.stderr
    options = ("--quiet", "--disable-pip-version-check", "--constraint", "constraints.txt")
    installed = run([python, "-m", "pip", "install", *options, "--editable", f".[{extra}]"], clone)
    assert installed.returncode == 0, installed.stderr
    optional = {"app": "av,jnius", "cluster": "-"}.get(extra, "ray")  # jnius comes with the phone
    imported = run([python, "-c", IMPORT_EVERYTHING, optional, *FOLDERS_OF_EXTRAS[extra]], clone)
    assert imported.returncode == 0, imported.stderr


def test_every_extra_is_tried_alone_or_is_for_tests():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for_tests = {"formats", "test-phone", "android-tests", "dev"}
    assert set(project["optional-dependencies"]) == {*FOLDERS_OF_EXTRAS} | for_tests
