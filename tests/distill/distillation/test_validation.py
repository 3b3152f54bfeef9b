"""What `tussis-targets compare` says of the teachers, of a student, and of packs that the student left out."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from core.audio import write_wav
from distill.checkpoints import save_checkpoint
from distill.corpus.labels import EVENT_LABELS
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore
from distill.distillation import targets_command
from distill.distillation.targets import all_crops, save_values
from distill.distillation.validation import left_out_aurocs
from distill.models.student import Student, StudentSettings

SMALL = StudentSettings(
    stem_channels=4, channels=(4, 8), expanded_channels=(8, 8), strides=((1, 2), (2, 2)), pooled_channels=8
)
CONFIG = Path(targets_command.__file__).parents[1] / "configs" / "second_small.toml"
COUGH = EVENT_LABELS.index("cough")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Packs a, b and c of a cough (hiss) and a noise (hum); c validates, its noise is of one source with b's cough."""
    folder, rows = tmp_path_factory.mktemp("corpus"), []
    for number in range(6):
        pack, is_cough = "abc"[number // 2], number % 2 == 0
        hiss = np.random.default_rng(number).normal(0, 0.1, 32_000)
        write_wav(folder / f"{number}.wav", (hiss if is_cough else 0.2 * np.sin(np.arange(32_000) * 0.3)).astype("f4"))
        source, role = f"file {2 if number == 5 else number}", "validation" if pack == "c" else "train"
        label = ("cough",) if is_cough else ("noise",)
        rows.append(ManifestRow(f"{number}.wav", pack, source, f"{number}", 2.0, label, 1, "CC0", role, True))
    WaveformStore.build(rows, folder, folder / "store")
    return folder / "store"


@pytest.fixture(scope="module")
def store(folder) -> WaveformStore:
    return WaveformStore.open(folder)


@pytest.fixture(scope="module")
def student() -> Student:
    torch.manual_seed(0)
    return Student(SMALL).eval()


def test_a_pack_left_out_is_set_against_its_own_noises_and_of_sources_that_it_lacks(student, store):
    aurocs = left_out_aurocs(student, store, ["a"])
    assert list(aurocs) == ["a"]
    assert (aurocs["a"].n, aurocs["a"].n_subjects) == (3, 3)  # its cough, its noise and c's noise
    assert left_out_aurocs(student, store, ["b"])["b"].n == 2  # c's noise is of the source of b's cough
    assert aurocs["a"].value in {0.0, 0.5, 1.0}


def test_compare_names_teachers_and_student_and_the_packs_that_were_left_out(student, folder, store, tmp_path):
    crops = all_crops(store)
    scores = np.full((len(crops), len(EVENT_LABELS)), 0.1, np.float32)
    scores[:, COUGH] = [0.1 + 0.8 * (row % 2 == 0) for row, _ in crops]
    for name in ("events.npz", "events_mn04.npz"):
        save_values(tmp_path / "targets" / name, crops, scores)
    for left_out in ([], ["a"]):
        save_checkpoint(
            tmp_path / "final.pt",
            model_state={f"student.{name}": value for name, value in student.state_dict().items()},
            training_state={"step": 1},
            settings={"student": SMALL.model_dump(), "leave_out": left_out},
            provenance={},
        )
        options = {
            "--store": folder,
            "--targets": tmp_path / "targets",
            "--config": CONFIG,
            "--student": tmp_path / "final.pt",
        }
        done = CliRunner().invoke(
            targets_command.app, ["compare", *(str(part) for option in options.items() for part in option)]
        )
        assert done.exit_code == 0, done.output
        assert re.search(r"cough\W+1\.0000\W+1\.0000\W+1\.0000\W+[01]\.\d{4}", done.output), done.output
        assert ("pack left out" in done.output) == bool(left_out)
