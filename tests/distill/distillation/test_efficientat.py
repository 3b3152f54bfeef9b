"""mn04_as: its front end by the definition at 32 kHz, its classes, and what it hears."""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import DataError
from distill.corpus.labels import EVENT_LABELS
from distill.distillation.efficientat import AUDIOSET_CLASSES, EfficientAtFrontEnd, EfficientAtTeacher, event_logits
from distill.distillation.teachers import load_teacher

SHARED = Path(__file__).parents[4] / "shared"
MN04 = SHARED / "models" / "mn04_as.onnx"
needs_mn04 = pytest.mark.skipif(not MN04.exists(), reason="../shared/models/mn04_as.onnx is absent")


def at_32_khz(waveform: np.ndarray) -> np.ndarray:
    """The spectrogram as EfficientAT defines it, frame by frame, of sound that was resampled to 32 kHz."""
    doubled = np.fft.irfft(2 * np.fft.rfft(waveform), 2 * len(waveform))
    sharpened = np.pad(doubled[1:] - 0.97 * doubled[:-1], 512, mode="reflect")
    window = np.zeros(1024)
    window[112:912] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(800) / 799)
    edges = np.linspace(0, 1127 * np.log(1 + 15_000 / 700), 130)
    mel = 1127 * np.log(1 + np.arange(513) * 31.25 / 700)
    columns = []
    for start in range(0, len(sharpened) - 1023, 320):
        power = np.abs(np.fft.rfft(sharpened[start : start + 1024] * window)) ** 2
        bands = [np.interp(mel, edges[band : band + 3], [0, 1, 0], left=0, right=0) @ power for band in range(128)]
        columns.append((np.log(np.array(bands) + 1e-5) + 4.5) / 5)
    return np.array(columns).T


def test_the_front_end_is_the_one_at_32_khz() -> None:
    rng = np.random.default_rng(0)
    time_s = np.arange(16_000) / 16_000
    waveform = 0.1 * rng.standard_normal(16_000) + 0.2 * np.sin(2 * np.pi * 700 * time_s)
    spec = EfficientAtFrontEnd()(torch.tensor(waveform[None], dtype=torch.float32))
    expected = at_32_khz(waveform)
    assert spec.shape == (1, 1, 128, 101)
    difference = spec[0, 0, :, 2:98].numpy() - expected[:, 2:98]
    below_8_khz = np.linspace(0, 1127 * np.log(1 + 15_000 / 700), 130)[2:] < 1127 * np.log(1 + 7_900 / 700)
    # A frame of half as many samples lies up to a sample beside; that moves single dips of noise, and no level.
    assert np.median(np.abs(difference[below_8_khz])) < 0.003
    assert abs(difference[below_8_khz].mean()) < 0.001


def test_every_event_label_has_classes_of_audioset_and_no_class_counts_twice() -> None:
    assert tuple(AUDIOSET_CLASSES) == EVENT_LABELS
    classes = [index for of_label in AUDIOSET_CLASSES.values() for index in of_label]
    assert len(classes) == len(set(classes))


def test_a_labels_logit_is_the_highest_of_its_classes() -> None:
    logits = np.full((1, 527), -9.0)
    logits[0, [47, 45, 48]] = 3.0, 1.0, 2.0
    assert dict(zip(EVENT_LABELS, event_logits(logits)[0], strict=True)) == {
        **dict.fromkeys(EVENT_LABELS, -9.0),
        "cough": 3.0,
        "breathing": 1.0,
        "throat_clear": 2.0,
    }


@pytest.mark.long
@needs_mn04
def test_it_tells_coughs_snores_and_laughter_of_the_test_pack_from_the_rest() -> None:
    if not (SHARED / "data" / "esc50_part").exists():
        pytest.skip("../shared/data is absent")
    from distill.corpus.labels import event_labels_of
    from distill.corpus.manifests import build_manifest
    from distill.corpus.waveform_store import as_float, read_int16
    from distill.evaluation.metrics import auroc

    rows = [row for row in build_manifest(SHARED / "data") if row.pack == "esc50_part"]
    rows = [row for row in rows if event_labels_of(row.labels)] + [r for r in rows if not event_labels_of(r.labels)][
        ::6
    ]
    teacher = EfficientAtTeacher(MN04)
    sounds = [as_float(read_int16(SHARED / "data" / row.path))[None] for row in rows]
    logits = np.concatenate([event_logits(teacher.run(torch.from_numpy(sound))[0]) for sound in sounds])
    for label in ("cough", "snore", "laugh"):
        holds = [label in event_labels_of(row.labels) for row in rows]
        assert auroc(logits[:, EVENT_LABELS.index(label)], holds) > 0.99


@needs_mn04
def test_as_a_teacher_it_embeds_by_what_its_last_layer_takes() -> None:
    teacher = load_teacher(f"mn04:{MN04}")
    embedding = teacher.embed(0.1 * torch.randn(3, 32_000, generator=torch.Generator().manual_seed(0)))
    assert embedding.shape == (3, teacher.embedding_size) == (3, 512)
    assert embedding.std() > 0
    assert teacher.fingerprint.startswith("mn04:")


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(DataError, match="cannot load EfficientAT's model"):
        EfficientAtTeacher(tmp_path / "model.onnx")
