"""What the tests of tussis-screen and its --monitor share: a recording of noise, and where a result goes."""

from pathlib import Path

import numpy as np
import pytest

from core.audio import write_wav

NOISE = (0.05 * np.random.default_rng(0).normal(size=3 * 16000)).astype(np.float32)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "noise.wav"
    write_wav(path, NOISE)
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    return tmp_path / "results" / "out.json"
