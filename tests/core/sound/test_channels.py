"""The channel is taken that stands out from its pauses, else the average."""

import numpy as np
import pytest

from core.demonstration import synthesize_demonstration
from core.sound.channels import ChannelMeter

RATE_HZ = 16_000
COUGHS = 0.4 / 0.7 * synthesize_demonstration()


def noise(level: float, seed: int = 0) -> np.ndarray:
    return level * np.random.default_rng(seed).standard_normal(len(COUGHS))


def hum(level: float) -> np.ndarray:
    return level * np.sin(2 * np.pi * 50 * np.arange(len(COUGHS)) / RATE_HZ)


def weights_of(*tracks: np.ndarray, piece_samples: int = 65_536, repeats: int = 1) -> list[float]:
    frames = np.tile(np.column_stack(tracks).astype(np.float32), (repeats, 1))
    meter = ChannelMeter(len(tracks), RATE_HZ)
    for start in range(0, len(frames), piece_samples):
        meter.push(frames[start : start + piece_samples])
    return meter.weights().tolist()


@pytest.mark.parametrize(
    "bad",
    [noise(0.05), noise(0.3), noise(0.005), -COUGHS, -0.9 * COUGHS, 0 * COUGHS, 0.1 * COUGHS + noise(0.1), hum(0.3)],
    ids=["noise", "loud noise", "faint noise", "opposite", "nearly opposite", "dead", "mostly noise", "hum"],
)
def test_a_channel_that_spoils_the_average_is_left_out(bad: np.ndarray) -> None:
    if bad.any() and np.allclose(
        bad, -np.abs(bad).max() / np.abs(COUGHS).max() * COUGHS
    ):  # as good as the other, but for its sign
        assert max(weights_of(COUGHS, bad)) == max(weights_of(bad, COUGHS)) == 1
    else:
        assert weights_of(COUGHS, bad) == [1, 0]
        assert weights_of(bad, COUGHS) == [0, 1]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (COUGHS, COUGHS),
        (COUGHS, 0.7 * COUGHS),
        (COUGHS + noise(0.01, 1), COUGHS + noise(0.01, 2)),
        (noise(0.1, 1), noise(0.1, 2)),
    ],
    ids=["alike", "one quieter", "noise of their own", "noise alone"],
)
def test_good_channels_are_averaged(left: np.ndarray, right: np.ndarray) -> None:
    assert weights_of(left, right) == [0.5, 0.5]


def test_rare_coughs_in_a_long_recording_decide() -> None:
    quiet = np.zeros(len(COUGHS) * 30)
    quiet[: len(COUGHS)] = COUGHS
    quiet += 0.001 * np.random.default_rng(3).standard_normal(len(quiet))
    noisy = 0.02 * np.random.default_rng(4).standard_normal(len(quiet))
    frames = np.column_stack([noisy, quiet]).astype(np.float32)
    meter = ChannelMeter(2, RATE_HZ)
    meter.push(frames)
    assert meter.weights().tolist() == [0, 1]


@pytest.mark.parametrize("n_channels", [3, 8])
def test_of_more_channels_the_best_is_taken(n_channels: int) -> None:
    tracks = [noise(0.1, seed) for seed in range(n_channels)]
    tracks[1] = COUGHS
    assert weights_of(*tracks) == [float(place == 1) for place in range(n_channels)]


def test_too_little_sound_is_averaged() -> None:
    meter = ChannelMeter(2, RATE_HZ)
    meter.push(np.zeros((3, 2), np.float32))
    assert meter.weights().tolist() == [0.5, 0.5]
