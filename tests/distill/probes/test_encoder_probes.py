"""Linear probes for labels: what they may look at, and what they say of an embedding that holds a label or does not."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from core.errors import DataError
from distill.checkpoints import save_checkpoint
from distill.corpus.manifests import ManifestRow, write_manifest
from distill.corpus.waveform_store import WaveformStore
from distill.models.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderSettings
from distill.probes import fit_probe
from distill.probes.encoder_probes import (
    FLOOR,
    HELD_OUT_PACK,
    LogMelStatistics,
    embed_rows,
    labelled_rows,
    loudest_clip,
    probe_labels,
)

KINDS = ("cough", "breathing", "speech", "sneeze", "noise")


def made_up_rows(n: int = 200) -> list[ManifestRow]:
    roles = ("train", "train", "train", "validation", "test")
    return [
        ManifestRow(
            f"a/{i}.wav", (HELD_OUT_PACK if i % 4 == 0 else "a"), f"s{i // 2}", f"s{i // 2}", 2.0,
            (KINDS[(i // 2) % 5],), 1, "CC0", roles[(i // 2 // 5) % 5], True,
        )
        for i in range(n)
    ]  # fmt: skip


def telling(rows: list[ManifestRow], strength: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((len(rows), 24))
    for row, values in zip(rows, noise, strict=True):
        values[KINDS.index(row.labels[0])] += strength
    return noise.astype(np.float32)


def test_an_embedding_that_holds_the_labels_is_above_one_that_does_not() -> None:
    rows = made_up_rows()
    tasks = probe_labels({FLOOR: telling(rows, 0.0), "ours": telling(rows, 6.0, seed=1)}, rows)
    assert set(tasks) == {*KINDS, "cough, Coswara", "cough, test packs"}
    for task in tasks.values():
        ours, floor = task["auroc"]["ours"], task["auroc"][FLOOR]
        assert ours["value"] > 0.97
        assert 0.2 < floor["value"] < 0.8
        assert ours["above_floor"]["value"] == pytest.approx(ours["value"] - floor["value"])
        assert ours["above_floor"]["low"] > 0
        assert "above_floor" not in floor


def test_what_is_held_out_is_measured_and_never_fitted_to() -> None:
    rows = made_up_rows()
    embeddings = {"ours": telling(rows, 1.5)}
    before = probe_labels(embeddings, rows)
    swap = {"cough": ("noise",), "noise": ("cough",)}
    swapped = [replace(row, labels=swap.get(row.labels[0], row.labels)) if row.role == "test" else row for row in rows]
    after = probe_labels(embeddings, swapped)
    assert {name: after[name] for name in KINDS} == {name: before[name] for name in KINDS}
    assert (
        after["cough, test packs"]["auroc"]["ours"]["value"]
        < 0.5
        < before["cough, test packs"]["auroc"]["ours"]["value"]
    )
    coswara = [row for row in rows if row.pack == HELD_OUT_PACK]
    assert before["cough, Coswara"]["n_measured"] == len(coswara)
    assert before["cough, Coswara"]["n_fitted"] == sum(row.role == "train" and row not in coswara for row in rows)


def test_a_task_without_both_classes_is_left_out() -> None:
    rows = [row for row in made_up_rows() if "sneeze" not in row.labels and row.role != "test"]
    assert set(probe_labels({"ours": telling(rows, 2.0)}, rows)) == {*KINDS, "cough, Coswara"} - {"sneeze"}


def test_a_large_embedding_is_reduced_and_keeps_what_it_holds() -> None:
    rows = made_up_rows()
    spread = np.random.default_rng(5).standard_normal((24, 700)).astype(np.float32)
    tasks = probe_labels({"large": telling(rows, 6.0) @ spread}, rows)
    assert min(task["auroc"]["large"]["value"] for task in tasks.values()) > 0.95


def test_the_loudest_clip_holds_the_burst_and_a_short_recording_is_tiled() -> None:
    recording = np.random.default_rng(0).integers(-20, 20, 120_000).astype(np.int16)
    recording[81_000:84_000] = 8_000
    clip = loudest_clip(recording)
    assert clip.shape == (32_000,)
    assert (clip > 0.2).sum() == 3_000
    short = np.arange(1, 8_001, dtype=np.int16)
    assert np.array_equal(loudest_clip(short), np.tile(short, 4).astype(np.float32) / 32768)


def test_log_mel_statistics_do_not_hear_the_level() -> None:
    clip = torch.randn(2, 32_000, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.01, 0.1, 32_000)
    floor = LogMelStatistics()
    assert floor.embed(clip).shape == (2, floor.embedding_size)
    assert torch.allclose(floor.embed(clip), floor.embed(10 * clip), atol=1e-3)
    assert not torch.allclose(floor.embed(clip), floor.embed(clip.cumsum(dim=1)), atol=0.5)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A store on disk whose coughs are bursts and whose noise is steady, and an untrained autoencoder."""
    rng = np.random.default_rng(0)
    rows = made_up_rows(100)
    rows[0] = replace(rows[0], labelled=False, labels=())
    steady = [2_000 * rng.standard_normal(16_000) for _ in rows]
    burst = np.exp(-np.arange(16_000) / 1_000)
    samples = [
        (wave * (burst if "cough" in row.labels else 1)).astype(np.int16)
        for wave, row in zip(steady, rows, strict=True)
    ]
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "waveforms.i16").write_bytes(np.concatenate(samples).tobytes())
    np.save(tmp_path / "store" / "offsets.npy", np.arange(101) * 16_000)
    write_manifest(rows, tmp_path / "store" / "manifest.csv")
    model = MaskedAutoencoder(MaskedAutoencoderSettings())
    settings = {"model": model.settings.model_dump(mode="json")}
    save_checkpoint(
        tmp_path / "mae.pt", model_state=model.state_dict(), training_state={}, settings=settings, provenance={}
    )
    return tmp_path


@pytest.mark.long
def test_the_command_probes_a_teacher_beside_the_floor(corpus: Path) -> None:
    spec = f"mae:{corpus / 'mae.pt'}"
    command = ["encoder", "--store", str(corpus / "store"), "--teacher", spec, "--out", str(corpus / "probes.json")]
    done = CliRunner().invoke(fit_probe.app, command)
    assert done.exit_code == 0, done.output
    result = json.loads((corpus / "probes.json").read_text())
    assert set(result["embeddings"]) == {FLOOR, spec}
    cough = result["tasks"]["cough"]
    assert cough["auroc"][FLOOR]["value"] > 0.95
    assert cough["n_measured"] == 20
    assert "cough, Coswara" in done.output


def test_only_labelled_recordings_are_probed_and_values_must_be_finite(corpus: Path) -> None:
    store = WaveformStore.open(corpus / "store")
    assert labelled_rows(store) == list(range(1, 100))
    with pytest.raises(DataError, match="broken gives embeddings that are not finite"):
        embed_rows(store, [1, 2], lambda clips: clips.mean(dim=1, keepdim=True) / 0, "broken")


def test_the_command_refuses_what_is_no_teacher(corpus: Path) -> None:
    command = ["encoder", "--store", str(corpus / "store"), "--teacher", "mae:absent.pt"]
    done = CliRunner().invoke(fit_probe.app, command)
    assert done.exit_code == 2
    assert "absent.pt" in done.output
