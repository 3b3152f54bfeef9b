"""What is packed for a GPU machine: which recordings, at which rate, and libraries that a bare Python can import."""

import lzma
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import DataError, SettingsError
from distill.corpus.manifests import ManifestRow, build_manifest
from distill.corpus.shard_writer import write_shards
from distill.corpus.shards import encode_clip, read_samples
from distill.offline_gpu.pack import compress_shards, fitting_rate, needed_libraries, packed_rows
from distill.offline_gpu.stages import unpack
from distill.offline_gpu.wheels import check_fits, lend_libraries, write_hashes
from tests.distill.offline_gpu.gpu_machine import ROOT, write_packs


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_packs(folder)
    return folder


def row(role: str, number: int) -> ManifestRow:
    return ManifestRow(f"{role}/{number}.wav", role, "s", "p", 36.0, (), None, "CC0", role, False)


def test_what_is_only_tested_on_never_travels(data: Path) -> None:
    rows = build_manifest(data)
    assert {r.pack for r in rows} == {"people", "rir_webaudio", "esc50_part"}
    assert {r.pack for r in packed_rows(rows, None)} == {"people", "rir_webaudio"}
    assert {r.role for r in packed_rows(rows, None)} == {"train", "validation", "augment"}


def test_a_trial_has_about_its_hours_and_all_rooms() -> None:
    rows = [row(role, number) for role in ("train", "validation", "augment") for number in range(300)]
    chosen = packed_rows(rows, hours=3.0)
    count = {role: sum(r.role == role for r in chosen) for role in ("train", "validation", "augment")}
    assert count["augment"] == 300
    assert 70 < count["train"] < 130 and 70 < count["validation"] < 130


@pytest.mark.long
def test_the_rate_is_the_highest_that_fits_and_what_never_fits_is_refused(data: Path) -> None:
    rows = packed_rows(build_manifest(data), None)
    seconds = sum(r.duration_s for r in rows)
    rates = [fitting_rate(rows, data, seconds * kbit_s * 125 / 2**20) for kbit_s in (14.0, 24.0)]
    assert 6 <= rates[0] < rates[1] <= 64
    for rate, kbit_s in zip(rates, (14.0, 24.0), strict=True):
        encoded = [encode_clip(read_samples(data / r.path), "opus", rate) for r in rows]
        assert len(lzma.compress(b"".join(encoded))) < seconds * kbit_s * 125
    with pytest.raises(SettingsError, match=r"do not fit into 0\.002 MiB even at 6 kbit/s"):
        fitting_rate(rows, data, 0.002)


def test_a_packed_corpus_is_unpacked_with_every_recording_and_length(data: Path, tmp_path: Path) -> None:
    rows = packed_rows(build_manifest(data), None)
    write_shards(rows, data, tmp_path / "pack" / "corpus", roles=("train", "validation", "augment"), codec="opus",
                 opus_kbit_s=12.0, shard_mib=0.02)  # fmt: skip
    plain = sum(file.stat().st_size for file in (tmp_path / "pack" / "corpus").iterdir())
    assert compress_shards(tmp_path / "pack" / "corpus") < 0.6 * plain
    unpack(tmp_path / "pack", tmp_path / "run")
    from distill.corpus.waveform_store import WaveformStore

    store = WaveformStore.open(tmp_path / "run" / "store")
    assert store.rows == rows
    lengths = [len(store.waveform(index)) for index in range(len(rows))]
    assert lengths == [round(r.duration_s * 16_000) for r in rows]
    damaged = next((tmp_path / "pack" / "corpus").glob("*.xz"))
    damaged.write_bytes(damaged.read_bytes()[:-50])
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(tmp_path / "pack", tmp_path / "other")


def test_the_libraries_are_all_that_is_needed_beside_torch_and_numpy() -> None:
    names = {text.split("==")[0] for text in needed_libraries()}
    assert {"pydantic", "pydantic-core", "typer", "rich", "webdataset", "soundfile", "cffi", "safetensors"} <= names
    assert not names & {"torch", "numpy", "scipy", "matplotlib"}


def wheel(folder: Path, name: str, content: str) -> None:
    import zipfile

    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr(name.split("-")[0] + ".py", content)


def test_packed_libraries_come_before_those_of_the_machine(tmp_path: Path) -> None:
    wheel(tmp_path / "packed", "quietly_absent-1.0-py3-none-any.whl", "NAME = 'lent'")
    wheel(tmp_path / "packed", "colorsys-9.0-py3-none-any.whl", "NAME = 'lent too'")
    write_hashes(tmp_path / "packed")
    script = (
        "import sys; from pathlib import Path; from distill.offline_gpu.wheels import lend_libraries;"
        "print(len(lend_libraries(Path(sys.argv[1]), Path(sys.argv[2]))));"
        "import colorsys, quietly_absent; print(quietly_absent.NAME, colorsys.NAME)"
    )
    command = [sys.executable, "-S", "-c", script, tmp_path / "packed", tmp_path / "unpacked"]
    for _ in range(2):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.stdout.split("\n") == ["2", "lent lent too", ""], done.stderr


def test_a_wheel_that_was_not_packed_or_was_altered_is_never_imported(tmp_path: Path) -> None:
    wheel(tmp_path, "quietly_absent-1.0-py3-none-any.whl", "NAME = 'packed'")
    with pytest.raises(DataError, match=r"quietly_absent-1\.0-py3-none-any\.whl is not the wheel that wheels\.sha256"):
        lend_libraries(tmp_path, tmp_path / "unpacked")
    write_hashes(tmp_path)
    wheel(tmp_path, "quietly_absent-1.0-py3-none-any.whl", "NAME = 'altered'")
    with pytest.raises(DataError, match="is not the wheel"):
        lend_libraries(tmp_path, tmp_path / "unpacked")


def test_a_damaged_wheel_and_one_for_another_python_are_refused(tmp_path: Path) -> None:
    (tmp_path / "absent_too-1.0-py3-none-any.whl").write_bytes(b"PK nonsense")
    write_hashes(tmp_path)
    with pytest.raises(DataError, match="cannot be unpacked"):
        lend_libraries(tmp_path, tmp_path / "unpacked")
    check_fits(Path("pydantic_core-2.33.2-cp312-cp312-manylinux2014_x86_64.whl"), (3, 12))
    check_fits(Path("safetensors-0.8.0-cp38-abi3-manylinux2014_x86_64.whl"), (3, 12))
    with pytest.raises(DataError, match=r"made for cp312, not for Python 3\.13: pack with GPU_PYTHON=3\.13"):
        check_fits(Path("pydantic_core-2.33.2-cp312-cp312-manylinux2014_x86_64.whl"), (3, 13))


def test_the_command_needs_nothing_but_the_standard_library_to_start() -> None:
    script = "import distill.offline_gpu.machine, sys; print({'numpy', 'torch', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-S", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
