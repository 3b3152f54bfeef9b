"""Targets of the embedding teachers: balance between them, whose they are, and the commands that make them."""

import io
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from core.clips import CLIP_SAMPLES
from core.errors import DataError
from distill.checkpoints import save_checkpoint
from distill.corpus.labels import EVENT_LABELS
from distill.corpus.manifests import ManifestRow, write_manifest
from distill.corpus.waveform_store import WaveformStore
from distill.distillation import command, targets, targets_command
from distill.distillation.event_teachers import EventTeacherSettings
from distill.distillation.targets import (
    OFFSET_GRID_SAMPLES,
    Targets,
    balance,
    crop_offsets,
    cut_crop,
    ensure_embeddings,
    save_embeddings,
)
from distill.models.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderSettings

SHIPPED = Path(__file__).parents[3] / "core" / "bundles" / "default" / "model.tflite"


def mean_square_norms(embedding: np.ndarray, block_sizes: tuple[int, ...]) -> list[float]:
    blocks = np.split(embedding, np.cumsum(block_sizes)[:-1], axis=1)
    return [float((block**2).sum(axis=1).mean()) for block in blocks]


def test_crops_cover_a_recording_on_the_grid_and_a_short_one_once() -> None:
    assert crop_offsets(9_600) == [0]
    offsets = crop_offsets(5 * 16_000)
    assert offsets[0] == 0
    assert offsets[-1] == 3 * 16_000 // OFFSET_GRID_SAMPLES * OFFSET_GRID_SAMPLES
    assert all(offset % OFFSET_GRID_SAMPLES == 0 for offset in offsets)
    assert len(crop_offsets(3600 * 16_000)) == 12


def test_a_short_recording_is_tiled_not_padded() -> None:
    piece = np.arange(1, 10_001, dtype=np.int16)
    crop = cut_crop(piece, 0)
    assert len(crop) == CLIP_SAMPLES
    assert np.array_equal(crop[10_000:20_000], crop[:10_000])


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(0, 9), st.floats(1e-2, 1e3))
def test_every_teacher_weighs_the_same_whatever_its_size_and_scale(sizes: list[int], seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    embedding = np.concatenate([scale**i * (rng.standard_normal((30, d)) + 5) for i, d in enumerate(sizes)], axis=1)
    balanced = balance(embedding.astype(np.float32), sizes)
    assert balanced.shape == embedding.shape
    assert np.abs(balanced.mean(axis=0)).max() < 1e-2
    assert mean_square_norms(balanced, sizes) == pytest.approx([sum(sizes) / len(sizes)] * len(sizes), rel=1e-3)


def test_one_teacher_is_only_centred_and_scaled() -> None:
    embedding = np.random.default_rng(0).normal(3, 7, (50, 6)).astype(np.float32)
    expected = (embedding - embedding.mean(axis=0)) / embedding.std(axis=0)
    assert np.allclose(balance(embedding, (6,)), expected, atol=1e-4)


def test_a_large_block_becomes_its_first_principal_components() -> None:
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((900, 20))
    embedding = (factors @ rng.standard_normal((20, 700)) + 1e-3 * rng.standard_normal((900, 700))).astype(np.float32)
    balanced = balance(embedding, (700,))
    assert balanced.shape == (900, 512)
    scaled = (embedding - embedding.mean(axis=0)) / embedding.std(axis=0)
    similarity, expected = balanced @ balanced.T, scaled @ scaled.T
    assert np.corrcoef(similarity.ravel(), expected.ravel())[0, 1] > 0.9999
    variances = balanced.var(axis=0)
    assert variances[:20].sum() > 0.999 * variances.sum()
    assert np.array_equal(balanced, balance(embedding, (700,)))


def test_a_value_that_never_changes_is_zero_and_takes_nothing_from_its_teachers_share() -> None:
    embedding = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    embedding[:, 2:4] = 0.25
    balanced = balance(embedding, (4, 4))
    assert np.all(balanced[:, 2:4] == 0)
    assert mean_square_norms(balanced, (4, 4)) == pytest.approx([4, 4], rel=1e-3)
    embedding[:, :4] = 0.25
    assert np.isfinite(balance(embedding, (4, 4))).all()
    assert np.all(balance(embedding, (4, 4))[:, :4] == 0)


class StandInTeacher:
    """Level of a clip's first and second half, and a constant."""

    name, fingerprint, embedding_size, block_sizes = "stand-in:a", "stand-in:0", 3, (3,)

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        levels = waveform.reshape(len(waveform), 2, -1).square().mean(dim=2).log()
        return self.factor * torch.cat([levels, torch.ones(len(waveform), 1)], dim=1)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A store on disk of six recordings, and a checkpoint of a masked autoencoder."""
    rng = np.random.default_rng(0)
    samples = [(rng.uniform(500, 5000) * rng.standard_normal(40_000)).astype(np.int16) for _ in range(6)]
    rows = [
        ManifestRow(f"p/{i}.wav", "p", f"s{i}", f"s{i}", 2.5, ("noise",), 1, "CC0", "train", True) for i in range(6)
    ]
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "waveforms.i16").write_bytes(np.concatenate(samples).tobytes())
    np.save(tmp_path / "store" / "offsets.npy", np.arange(7) * 40_000)
    write_manifest(rows, tmp_path / "store" / "manifest.csv")
    autoencoder = MaskedAutoencoder(MaskedAutoencoderSettings())
    settings = {"model": autoencoder.settings.model_dump(mode="json")}
    state = autoencoder.state_dict()
    save_checkpoint(tmp_path / "mae.pt", model_state=state, training_state={}, settings=settings, provenance={})
    return tmp_path


def test_targets_survive_writing_and_reading_and_a_mismatch_is_refused(corpus: Path) -> None:
    crops = targets.all_crops(WaveformStore.open(corpus / "store"))
    embedding = np.random.default_rng(1).standard_normal((len(crops), 6)).astype(np.float32)
    targets.save_values(corpus / "events.npz", crops, np.zeros((len(crops), len(EVENT_LABELS))))
    targets.save_values(corpus / "embeddings.npz", crops, embedding)
    read = Targets.load(corpus)
    assert np.array_equal(read.row, [row for row, _ in crops])
    assert np.abs(read.embedding - embedding).max() < 2e-3
    targets.save_values(corpus / "embeddings.npz", crops[:-1], embedding[:-1])
    with pytest.raises(DataError, match="different crops"):
        Targets.load(corpus)
    targets.save_values(corpus / "embeddings.npz", crops, embedding)
    targets.save_values(corpus / "events.npz", crops, np.zeros((len(crops), len(EVENT_LABELS) - 1)))
    with pytest.raises(DataError, match=rf"events\.npz does not hold {len(EVENT_LABELS)} events"):
        Targets.load(corpus)
    (corpus / "events.npz").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"events\.npz does not hold targets"):
        Targets.load(corpus)


@pytest.mark.parametrize("name", ["events.npz", "events_mn04.npz"])
def test_scores_of_another_number_of_labels_are_refused_by_the_name_of_their_file(tmp_path: Path, name: str) -> None:
    for of_teacher in ("events.npz", "events_mn04.npz"):
        n_labels = len(EVENT_LABELS) + (of_teacher == name)
        targets.save_values(tmp_path / of_teacher, [(0, 0), (1, 0)], np.full((2, n_labels), 0.5, np.float32))
    with pytest.raises(DataError, match=f"{re.escape(name)} does not hold {len(EVENT_LABELS)} events"):
        Targets.load_blended(tmp_path, EventTeacherSettings())


def test_teachers_that_say_nothing_are_refused(corpus: Path) -> None:
    store = WaveformStore.open(corpus / "store")
    with pytest.raises(DataError, match="stand-in:a gives embeddings that are not finite"):
        save_embeddings(store, StandInTeacher(float("nan")), corpus)
    with pytest.raises(DataError, match="stand-in:a gives every crop the same embedding"):
        save_embeddings(store, StandInTeacher(0.0), corpus)
    assert not (corpus / "embeddings.npz").exists()


def test_embeddings_are_made_once_and_another_teachers_are_not_replaced(corpus: Path, monkeypatch) -> None:
    store = WaveformStore.open(corpus / "store")
    monkeypatch.setattr(targets, "load_teacher", lambda _: StandInTeacher())
    ensure_embeddings(store, "stand-in", corpus)
    made = (corpus / "embeddings.npz").stat().st_mtime_ns
    ensure_embeddings(store, "stand-in", corpus)
    assert (corpus / "embeddings.npz").stat().st_mtime_ns == made
    monkeypatch.setattr(StandInTeacher, "fingerprint", "stand-in:1")
    with pytest.raises(DataError, match=r"holds the embeddings of stand-in:0, not of stand-in:a \(stand-in:1\)"):
        ensure_embeddings(store, "stand-in", corpus)
    targets.save_values(corpus / "embeddings.npz", [(0, 0)], np.zeros((1, 3)))
    with pytest.raises(DataError, match="holds the embeddings of a teacher that it does not name"):
        ensure_embeddings(store, "stand-in", corpus)
    (corpus / "embeddings.npz").write_bytes(b"PK damaged")
    with pytest.raises(DataError, match=r"embeddings\.npz does not hold targets"):
        ensure_embeddings(store, "stand-in", corpus)


def embed(corpus: Path, teacher: str) -> object:
    arguments = ["embeddings", "--store", str(corpus / "store"), "--out", str(corpus / "targets"), "--teacher", teacher]
    return CliRunner().invoke(targets_command.app, arguments)


def test_the_command_combines_teachers_and_each_weighs_the_same(corpus: Path) -> None:
    done = embed(corpus, f"mae:{corpus / 'mae.pt'}+tflite:{SHIPPED}")
    assert done.exit_code == 0, done.output
    store = WaveformStore.open(corpus / "store")
    crops = targets.all_crops(store)
    targets.save_values(corpus / "targets" / "events.npz", crops, np.zeros((len(crops), len(EVENT_LABELS))))
    embedding = Targets.load(corpus / "targets").embedding
    sizes = (len(crops), 512)  # of the autoencoder's 4608 values, as many principal components as there are crops
    assert embedding.shape == (len(crops), sum(sizes))
    assert mean_square_norms(embedding, sizes) == pytest.approx([sum(sizes) / 2] * 2, rel=1e-2)


@pytest.mark.parametrize("teacher", ["yamnet", "hear:nowhere", "tflite:absent.tflite", "mae:absent.pt"])
def test_the_command_refuses_what_is_no_teacher(corpus: Path, teacher: str) -> None:
    refused = embed(corpus, teacher)
    assert refused.exit_code == 2
    assert len(refused.stderr.strip().splitlines()) == 1
    assert teacher.partition(":")[2] in refused.stderr


def test_tussis_distill_asks_the_teacher_first_where_its_targets_are_absent(corpus: Path) -> None:
    config = corpus / "config.toml"
    config.write_text(
        "[training]\nsteps=2\nbatch_size=2\nlearning_rate=1e-3\nwarmup_steps=1\ncheckpoint_every_steps=1\n"
        "log_every_steps=1\nseed=1\nthreads=1\n"
    )
    crops = targets.all_crops(WaveformStore.open(corpus / "store"))
    targets.save_values(corpus / "targets" / "events.npz", crops, np.zeros((len(crops), len(EVENT_LABELS))))
    options = {"config": config, "store": corpus / "store", "targets": corpus / "targets", "out": corpus / "run"}
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    done = CliRunner().invoke(command.app, [*arguments, "--teacher", f"tflite:{SHIPPED}"])
    assert done.exit_code == 0, done.output
    assert (corpus / "run" / "final.pt").exists()
    assert Targets.load(corpus / "targets").embedding.shape == (len(crops), 512)
    refused = CliRunner().invoke(command.app, [*arguments, "--teacher", f"mae:{corpus / 'mae.pt'}"])
    assert refused.exit_code == 2
    assert "holds the embeddings of tflite:" in refused.stderr


def npz_with(path: Path, member: bytes, compression: int) -> Path:
    """An .npz whose arrays are these bytes, and whose zip says that they are compressed so."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in ("row", "offset", "values", "teacher"):
            archive.writestr(f"{name}.npy", member)
    given = bytearray(content.getvalue())
    for at in (found.start() for found in re.finditer(b"PK\x01\x02", content.getvalue())):
        given[at + 10 : at + 12] = compression.to_bytes(2, "little")
    path.write_bytes(given)
    return path


@pytest.mark.parametrize(
    ("shape", "compression"), [("(1000000000000,)", 0), ("(2,)", 99), ("(2,)", 12), ("(-1,)", 0), ("nonsense", 0)]
)
def test_an_array_of_any_size_or_compression_is_refused_in_one_line(
    tmp_path: Path, shape: str, compression: int
) -> None:
    header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    path = npz_with(tmp_path / "events.npz", member, compression)
    shutil.copy(path, tmp_path / "embeddings.npz")
    for read in (lambda: Targets.load(tmp_path), lambda: targets.teacher_of(path)):
        with pytest.raises(DataError, match=r"events\.npz does not hold targets") as refused:
            read()
        assert "\n" not in str(refused.value) and len(str(refused.value)) < len(str(path)) + 200
