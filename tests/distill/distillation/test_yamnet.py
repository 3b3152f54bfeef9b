"""YAMNet's scores by event label: its classes, its frames, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from core.errors import DataError
from distill.corpus.labels import EVENT_LABELS
from distill.distillation.yamnet import YAMNET_CLASSES, YamnetTeacher

SHARED = Path(__file__).parents[4] / "shared"
YAMNET = SHARED / "models" / "yamnet.tflite"
DATA = SHARED / "data"
needs_yamnet = pytest.mark.skipif(not YAMNET.exists(), reason="../shared/models/yamnet.tflite is absent")
needs_data = pytest.mark.skipif(not DATA.exists(), reason="../shared/data is absent")


@pytest.fixture(scope="module")
def yamnet() -> YamnetTeacher:
    return YamnetTeacher(YAMNET)


def test_every_event_label_has_classes_of_yamnet_and_no_class_counts_twice() -> None:
    assert tuple(YAMNET_CLASSES) == EVENT_LABELS
    names = [name for classes in YAMNET_CLASSES.values() for name in classes]
    assert len(names) == len(set(names))


def test_an_absent_class_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read YAMNet's class map .*yamnet_class_map\.csv"):
        YamnetTeacher(tmp_path / "yamnet.tflite")


def test_a_class_map_without_a_class_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "yamnet_class_map.csv").write_text("index,mid,display_name\n0,/m/09x0r,Speech\n")
    with pytest.raises(DataError, match="lacks 'Cough'"):
        YamnetTeacher(tmp_path / "yamnet.tflite")


@needs_yamnet
@pytest.mark.parametrize(("n_samples", "n_frames"), [(0, 1), (8_000, 1), (15_600, 1), (15_601, 2), (32_000, 4)])
def test_the_frames_cover_every_sample(yamnet: YamnetTeacher, n_samples: int, n_frames: int) -> None:
    scores = yamnet.scores(np.zeros(n_samples, np.float32))
    assert scores.shape == (n_frames, len(EVENT_LABELS))
    assert scores.dtype == np.float32
    assert 0.0 <= scores.min() <= scores.max() <= 1.0


@needs_yamnet
def test_int16_and_float_give_the_same_scores(yamnet: YamnetTeacher) -> None:
    waveform = (3000 * np.random.default_rng(0).standard_normal(20_000)).astype(np.int16)
    assert np.array_equal(yamnet.scores(waveform), yamnet.scores(waveform.astype(np.float32) / 32768.0))


def event_scores(yamnet: YamnetTeacher, pack: str, label: str) -> list[float]:
    soundfile = pytest.importorskip("soundfile")
    scores = []
    for path in sorted((DATA / pack / "audio").glob("*.opus"))[:12]:
        waveform, sample_rate_hz = soundfile.read(path, dtype="float32")
        assert sample_rate_hz == 16_000
        scores.append(yamnet.scores(waveform).max(axis=0)[EVENT_LABELS.index(label)])
    return scores


@needs_yamnet
@needs_data
@pytest.mark.parametrize(
    ("pack", "other_pack", "label"),
    [
        ("covid19_cough", "librispeech_speakers", "cough"),
        ("librispeech_speakers", "donateacry", "speech"),
        ("donateacry", "librispeech_speakers", "cry"),
    ],
)
def test_yamnet_tells_recorded_events_apart(yamnet: YamnetTeacher, pack: str, other_pack: str, label: str) -> None:
    own, other = (event_scores(yamnet, name, label) for name in (pack, other_pack))
    assert np.median(own) > 0.3
    assert np.median(own) > max(other)


@needs_yamnet
def test_another_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "yamnet_class_map.csv").write_bytes(YAMNET.with_name("yamnet_class_map.csv").read_bytes())
    (tmp_path / "yamnet.tflite").write_bytes(b"not a model")
    with pytest.raises(DataError, match=r"cannot load YAMNet from .*yamnet\.tflite"):
        YamnetTeacher(tmp_path / "yamnet.tflite")
