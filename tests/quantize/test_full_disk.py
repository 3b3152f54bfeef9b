"""A full disk gives one clear sentence, exit status 2 and nothing half-written, for each command that writes models."""

import resource
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result

from core.bundle import DEFAULT_BUNDLE, load_bundle
from core.keys.private_keys import generate_key
from quantize.bundle import app as bundle_app

ROOT = Path(__file__).parents[2]
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """No file of this process can grow beyond that: a write fails half-way, as on a full disk, for root too."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "a.key"
    generate_key(path, None)
    return path


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["bundle", "bundle.tussis"])
def test_a_bundle_that_does_not_fit_is_not_there_and_the_old_one_stays(
    run: Callable[..., Result], tmp_path: Path, name: str
) -> None:
    for there in (False, True):
        if there:
            assert run(bundle_app, "pack", DEFAULT_BUNDLE, "--out", tmp_path / name).exit_code == 0
        before = files_in(tmp_path)
        with files_of_at_most(100_000):
            refused = run(bundle_app, "pack", DEFAULT_BUNDLE, "--out", tmp_path / name)
        assert refused.exit_code == 2
        assert f"the bundle {tmp_path / name} cannot be written: File too large." in refused.stderr
        assert files_in(tmp_path) == before
        assert [path.name for path in tmp_path.iterdir()] == ([name] if there else [])


@pytest.mark.parametrize("name", ["bundle", "bundle.tussis"])
def test_a_signature_that_does_not_fit_leaves_the_bundle_unsigned_and_whole(
    run: Callable[..., Result], tmp_path: Path, key: Path, name: str
) -> None:
    run(bundle_app, "pack", DEFAULT_BUNDLE, "--out", tmp_path / name)
    before = files_in(tmp_path)
    with files_of_at_most(100):
        refused = run(bundle_app, "sign", tmp_path / name, "--key", key)
    assert refused.exit_code == 2 and "cannot be written: File too large." in refused.stderr
    assert files_in(tmp_path) == before
    assert load_bundle(tmp_path / name).signature.words == "unsigned"


def test_a_key_that_does_not_fit_is_not_there(run: Callable[..., Result], tmp_path: Path) -> None:
    for size_bytes in (50, 90):  # neither fits; the public key alone would, the private one not
        with files_of_at_most(size_bytes):
            refused = run(bundle_app, "keygen", tmp_path / "a.key")
        assert refused.exit_code == 2 and "cannot be written: File too large." in refused.stderr
        assert list(tmp_path.iterdir()) == []


def test_a_build_that_does_not_fit_leaves_nothing(world, made, build, tmp_path: Path) -> None:
    with files_of_at_most(20_000):
        refused = build(world, made, tmp_path / "bundle")
    assert refused.exit_code == 2 and "cannot be written: File too large." in refused.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def full_disk(tmp_path: Path) -> Callable[..., tuple[int, str, list[str]]]:
    """Runs a command in a namespace where tmp_path/disk is a real file system with 64 KiB.

    It gives the exit status, what was said on stderr and what was left on the disk.
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=64k none {shlex.quote(str(disk))}"
    if not shutil.which("unshare") or subprocess.run([*NAMESPACE, "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("mounting a small file system in a namespace of its own is not allowed here")

    def run_on_it(module: str, *arguments: object) -> tuple[int, str, list[str]]:
        command = shlex.join([sys.executable, "-m", module, *(str(argument) for argument in arguments)])
        script = f"{mount}; {command}; status=$?; find {shlex.quote(str(disk))} -mindepth 1; exit $status"
        ended = subprocess.run(
            [*NAMESPACE, "sh", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
        )
        return ended.returncode, ended.stderr, [line for line in ended.stdout.splitlines() if str(disk) in line]

    return run_on_it


@pytest.mark.slow
def test_a_full_disk_leaves_no_partial_bundle(full_disk, world, made, tmp_path: Path) -> None:
    parts = ("--float", made.export / "student_float.tflite", "--int8", made.int8, "--checkpoint", world.checkpoint)
    parts += ("--probes", made.probes, "--agreement", made.agreement, "--export", made.export / "export.json")
    for command in (("build", *parts), ("pack", DEFAULT_BUNDLE)):
        for name in ("bundle", "bundle.tussis"):
            out = tmp_path / "disk" / name
            status, said, left = full_disk("quantize.bundle", *command, "--out", out)
            assert (status, left) == (2, [])
            assert said == f"tussis-bundle: the bundle {out} cannot be written: No space left on device.\n"


def last_line(said: str) -> str:
    """What a command says at the end, after notes of the converter and the runtime."""
    assert "Traceback" not in said
    return said.splitlines()[-1]


@pytest.mark.slow
def test_a_full_disk_leaves_no_partial_model(full_disk, world, float_model, tmp_path: Path) -> None:
    out = tmp_path / "disk" / "int8.tflite"
    options = ("--checkpoint", world.checkpoint, "--recipe", world.recipe, "--calibration-ids", world.calibration_ids)
    options += ("--data", world.data, "--store", world.store, "--out", out)
    status, said, left = full_disk("quantize.quantize_command", float_model, *options)
    assert (status, [path for path in left if path.endswith(".tflite")]) == (2, [])
    assert last_line(said).startswith("tussis-quantize: ") and "No space left on device" in said
    folder = tmp_path / "disk" / "export"
    status, said, left = full_disk("quantize.export", world.checkpoint, "--out", folder)
    assert (status, left) == (2, [str(folder)])
    assert last_line(said).startswith("tussis-export: ") and "No space left on device" in said
