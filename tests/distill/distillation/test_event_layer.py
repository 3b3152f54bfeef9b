from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from core.audio import write_wav
from core.errors import DataError
from distill.checkpoints import load_checkpoint, save_checkpoint
from distill.corpus.labels import EVENT_LABELS
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore
from distill.distillation import command
from distill.distillation.event_layer import EventLayerSettings, event_targets, fit, tune_event_layer
from distill.distillation.targets import Targets, all_crops, save_values
from distill.models.student import Student, StudentSettings, load_student

SMALL = StudentSettings(
    stem_channels=4, channels=(4, 8), expanded_channels=(8, 8), strides=((1, 2), (2, 2)), pooled_channels=8
)
CONFIG = Path(command.__file__).parents[1] / "configs" / "second_small.toml"
COUGH, SNORE = EVENT_LABELS.index("cough"), EVENT_LABELS.index("snore")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Folder of a store: 6 recordings labelled cough hiss, 6 labelled noise hum, one without labels, one validates."""
    folder = tmp_path_factory.mktemp("corpus")
    generator, rows = np.random.default_rng(0), []
    for number in range(14):
        is_cough, role = number % 2 == 0, "validation" if number == 13 else "train"
        labels = () if number == 12 else ("cough",) if is_cough else ("noise",)
        sound = generator.normal(0, 0.1, 40_000) if is_cough else 0.2 * np.sin(np.arange(40_000) * 0.3)
        write_wav(folder / f"{number}.wav", sound.astype(np.float32))
        path, subject = f"{number}.wav", f"person {number}"
        rows.append(ManifestRow(path, "pack", path, subject, 2.5, labels, 1, "CC0", role, bool(labels)))
    WaveformStore.build(rows, folder, folder / "store")
    return folder


@pytest.fixture(scope="module")
def store(corpus):
    return WaveformStore.open(corpus / "store")


@pytest.fixture(scope="module")
def targets(store):
    row, offset = (np.array(column) for column in zip(*all_crops(store), strict=True))
    return Targets(row, offset, np.full((len(row), len(EVENT_LABELS)), 0.25, np.float32), np.zeros((len(row), 0)))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("run") / "final.pt"
    state = {f"student.{name}": value for name, value in Student(SMALL).state_dict().items()}
    save_checkpoint(
        path,
        model_state=state,
        training_state={"step": 3},
        settings={"student": SMALL.model_dump()},
        provenance={"packs": ["pack"]},
    )
    return path


def test_labels_decide_and_the_teachers_fill_what_they_leave_open(store):
    rows = np.array([0, 1, 12])
    events, is_taught = event_targets(store, rows, np.full((3, len(EVENT_LABELS)), 0.25), 2)
    assert events[:, COUGH].tolist() == [1, 0, 0.25]
    assert events[:, SNORE].tolist() == [0, 0, 0.25]
    assert not is_taught.any()  # one recording of a cough is fewer than two
    is_taught = event_targets(store, rows, np.full((3, len(EVENT_LABELS)), 0.25), 1)[1]
    assert np.flatnonzero(is_taught).tolist() == [COUGH]


def test_the_layer_alone_changes_and_only_for_labels_that_are_taught(store, targets, checkpoint, tmp_path):
    final = tune_event_layer(checkpoint, EventLayerSettings(min_recordings=5), store, targets, tmp_path)
    before, after = load_student(checkpoint).state_dict(), load_student(final).state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {"body.events.weight", "body.events.bias"}
    of_label = (before["body.events.weight"] != after["body.events.weight"]).any(dim=1).tolist()
    assert of_label == [label == "cough" for label in EVENT_LABELS]
    tuned = load_checkpoint(final)
    assert tuned.provenance["packs"] == ["pack"] and len(tuned.provenance["event_layer_from_sha256"]) == 64
    assert tuned.settings["event_layer"] == {"pull": 0.01, "min_recordings": 5}


def test_a_pack_that_the_student_left_out_teaches_the_layer_nothing(store, targets, checkpoint, tmp_path):
    """Here the one pack is all that there is."""
    trained = load_checkpoint(checkpoint)
    save_checkpoint(
        tmp_path / "without.pt", **{**vars(trained), "settings": trained.settings | {"leave_out": ["pack"]}}
    )
    with pytest.raises(DataError, match="no training recording"):
        tune_event_layer(tmp_path / "without.pt", EventLayerSettings(), store, targets, tmp_path)


def test_the_layer_tells_apart_what_is_apart_and_a_strong_pull_holds_it():
    torch.manual_seed(0)
    layer, rows = torch.nn.Linear(4, 1), np.arange(200)
    embeddings = torch.randn(200, 4)
    events = (embeddings[:, 2] > 0).float().numpy()[:, None]
    weight, bias = fit(layer, embeddings, events, rows, 0.001)
    is_right = ((embeddings @ weight.T + bias) > 0).numpy() == (events > 0)
    assert is_right.mean() > 0.95
    held, _ = fit(layer, embeddings, events, rows, 1e4)
    assert torch.allclose(held, layer.weight, atol=1e-4)


def test_a_recording_of_many_crops_counts_no_more_than_one_of_a_single_crop():
    layer, embeddings = torch.nn.Linear(1, 1), torch.ones(10, 1)
    events = np.array([[1.0]] * 9 + [[0.0]], np.float32)
    weight, bias = fit(layer, embeddings, events, np.array([0] * 9 + [1]), 0.0)
    assert float(torch.sigmoid(weight + bias)) == pytest.approx(0.5, abs=0.01)


def test_the_command_writes_a_checkpoint_that_can_be_exported(corpus, store, targets, checkpoint, tmp_path):
    crops = list(zip(targets.row.tolist(), targets.offset.tolist(), strict=True))
    for name in ("events.npz", "events_mn04.npz"):
        save_values(tmp_path / "targets" / name, crops, targets.scores)
    options = {
        "--config": CONFIG,
        "--store": corpus / "store",
        "--targets": tmp_path / "targets",
        "--event-layer": checkpoint,
        "--out": tmp_path / "tuned",
    }
    done = CliRunner().invoke(
        command.app, [str(part) for option in options.items() for part in option] + ["event_layer.min_recordings=5"]
    )
    assert done.exit_code == 0, done.output
    assert load_student(tmp_path / "tuned" / "final.pt").settings == SMALL
