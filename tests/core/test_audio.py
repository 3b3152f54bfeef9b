"""A recording is opened by its content, checked, and given in blocks that do not change its samples."""

import struct
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.audio import AVERAGE, PIECE_FRAMES, open_recording, read_waveform, write_wav
from core.errors import AudioError
from core.files import sha256_of_file
from core.wav import WavDecoder

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def float_wav(path: Path, frames: np.ndarray, rate_hz: int = 16_000) -> Path:
    """Write frames, shape (n,) or (n, n_channels), as 32-bit float."""
    frames = np.atleast_2d(np.asarray(frames, "<f4").T).T
    n_channels = frames.shape[1]
    description = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, 3, n_channels, rate_hz, rate_hz * 4 * n_channels, 4 * n_channels, 32
    )
    body = b"WAVE" + description + struct.pack("<4sI", b"data", frames.nbytes) + frames.tobytes()
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def read_native(path: Path, channel: int | None = None) -> np.ndarray:
    with open_recording(path, channel) as recording:
        return np.concatenate(list(recording.blocks()))


def noise(n_samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(n_samples)).astype(np.float32)


def test_a_recording_says_what_it_is_and_how_it_was_read(tmp_path: Path) -> None:
    path = float_wav(tmp_path / "a.wav", np.ones((4_410, 2)), 44_100)
    with open_recording(str(path)) as recording:
        assert (recording.path, recording.sample_rate_hz, recording.n_channels) == (path, 44_100, 2)
        assert recording.sha256 == sha256_of_file(path)
        list(recording.blocks())
        assert (recording.n_frames, recording.duration_s, recording.channel) == (4_410, 0.1, "average")
        assert (recording.truncated, recording.remarks) == (False, ())


def test_blocks_can_be_read_twice(tmp_path: Path) -> None:
    path = float_wav(tmp_path / "a.wav", noise(2 * PIECE_FRAMES + 18_928), 8_000)
    with open_recording(path) as recording:
        first, second = list(recording.blocks()), list(recording.blocks())
    assert [len(block) for block in first] == [PIECE_FRAMES, PIECE_FRAMES, 18_928]
    np.testing.assert_array_equal(np.concatenate(first), noise(2 * PIECE_FRAMES + 18_928))
    np.testing.assert_array_equal(np.concatenate(second), noise(2 * PIECE_FRAMES + 18_928))


@pytest.mark.parametrize("block_s", [0.013, 1.0, 100.0])
def test_the_samples_do_not_depend_on_the_length_of_the_blocks(tmp_path: Path, block_s: float) -> None:
    frames = noise(2 * (PIECE_FRAMES + 777)).reshape(-1, 2)
    path = float_wav(tmp_path / "a.wav", frames, 48_000)
    with open_recording(path) as recording:
        assert recording.n_frames == len(frames)
        blocks = list(recording.blocks(block_s))
    assert {len(block) for block in blocks[:-1]} <= {round(block_s * 48_000)}
    np.testing.assert_array_equal(np.concatenate(blocks), read_native(path))


def test_a_block_of_less_than_one_sample_is_refused(tmp_path: Path) -> None:
    with (
        open_recording(float_wav(tmp_path / "a.wav", np.zeros(10))) as recording,
        pytest.raises(ValueError, match=r"block_s is 1e-09; expected at least one sample"),
    ):
        next(recording.blocks(1e-9))


@pytest.mark.parametrize("n_channels", [2, 3, 8])
def test_channels_are_averaged_or_one_is_taken(tmp_path: Path, n_channels: int) -> None:
    tracks = np.column_stack([noise(5_000, seed) for seed in range(n_channels)])
    path = float_wav(tmp_path / "a.wav", tracks)
    np.testing.assert_allclose(read_native(path), tracks.mean(axis=1), atol=1e-7)
    np.testing.assert_allclose(read_native(path, AVERAGE), tracks.mean(axis=1), atol=1e-7)
    np.testing.assert_array_equal(read_native(path, n_channels), tracks[:, -1])
    with pytest.raises(AudioError, match=rf"has no channel {n_channels + 1}; expected 1 to {n_channels}"):
        open_recording(path, n_channels + 1)


def test_the_channel_that_stands_out_is_taken_for_the_whole_recording(tmp_path: Path) -> None:
    sound = noise(3 * PIECE_FRAMES) * (np.arange(3 * PIECE_FRAMES) // 8_000 % 4 == 3)
    frames = np.column_stack([noise(3 * PIECE_FRAMES, 1), sound]).astype(np.float32)
    path = float_wav(tmp_path / "a.wav", frames)
    np.testing.assert_array_equal(read_native(path), frames[:, 1])
    with open_recording(path) as recording:
        assert recording.channel == "2"


def test_float_samples_beyond_full_scale_are_kept(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_native(float_wav(tmp_path / "a.wav", [0.5, -3.0, 2.0])), [0.5, -3.0, 2.0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3_000.0])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_an_unusable_sample_is_named_with_its_place(tmp_path: Path, value: float, n_channels: int) -> None:
    frames = np.zeros((PIECE_FRAMES + 20_000, n_channels), np.float32)
    frames[80_000, -1] = value
    sentence = rf"a\.wav holds the sample {value} at 5\.000 s; expected numbers in \[-1, 1\]"
    with pytest.raises(AudioError, match=sentence):
        read_native(float_wav(tmp_path / "a.wav", frames))


@pytest.mark.parametrize(
    ("n_frames", "n_channels", "rate_hz", "sentence"),
    [
        (10, 1, 100, "has a sample rate of 100 Hz; expected 4000 to 384000 Hz"),
        (10, 1, 1_000_000, "has a sample rate of 1000000 Hz; expected 4000 to 384000 Hz"),
        (10, 9, 16_000, "has 9 channels; expected 1 to 8"),
    ],
)
def test_what_is_no_recording_of_a_person_is_refused_on_opening(
    tmp_path: Path, n_frames: int, n_channels: int, rate_hz: int, sentence: str
) -> None:
    path = float_wav(tmp_path / "a.wav", np.zeros((n_frames, n_channels)), rate_hz)
    with pytest.raises(AudioError, match=rf"a\.wav {sentence}"):
        open_recording(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is an empty file"),
        (b"x", "is not a sound recording"),
        (b"Dear diary, today I coughed.", "is not a sound recording"),
        (b"RIFF", "is not a WAV recording, or its header is cut short"),
        (b"PK\x03\x04" + bytes(40), "is a ZIP archive, not a sound recording"),
    ],
)
def test_a_file_that_is_not_a_recording_says_what_it_is(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(AudioError, match=rf"a\.wav {sentence}\.$"):
        open_recording(tmp_path / "a.wav")


def test_a_missing_file_a_folder_and_a_device_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"none\.wav does not exist\."):
        open_recording(tmp_path / "none.wav")
    with pytest.raises(AudioError, match="is a folder; a recording is expected"):
        open_recording(tmp_path)
    with pytest.raises(AudioError, match="cannot be opened: embedded null byte"):
        open_recording("a\0.wav")
    if Path("/dev/zero").exists():
        with pytest.raises(AudioError, match="/dev/zero is a device or pipe"):
            open_recording("/dev/zero")


def test_a_recording_without_a_sample_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"a\.wav holds no samples"):
        read_native(float_wav(tmp_path / "a.wav", np.zeros((0, 1))))


def test_a_file_that_shrinks_while_it_is_read_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = float_wav(tmp_path / "a.wav", np.zeros(2 * PIECE_FRAMES))
    with open_recording(path) as recording:
        blocks = recording.blocks()
        n_read = len(next(blocks))
        path.write_bytes(path.read_bytes()[: 44 + 6 * PIECE_FRAMES])
        n_read += sum(len(block) for block in blocks)
        assert (n_read, recording.truncated) == (PIECE_FRAMES * 3 // 2, True)
        assert recording.remarks[0].startswith("The recording is cut short: 8.2 s")


def test_a_file_that_cannot_be_read_on_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: WavDecoder, n_frames: int) -> np.ndarray:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(WavDecoder, "read", fails)
    with pytest.raises(AudioError, match=r"a\.wav cannot be read: Input/output error\.$"):
        read_native(float_wav(tmp_path / "a.wav", np.zeros(10)))


def test_a_whole_recording_is_read_at_16_khz(tmp_path: Path) -> None:
    time_s = np.arange(22_050) / 44_100
    write_wav(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 1_000 * time_s), 44_100)
    waveform = read_waveform(tmp_path / "a.wav")
    assert (waveform.shape, waveform.dtype) == ((8_000,), np.float32)
    expected = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(8_000) / 16_000)
    np.testing.assert_allclose(waveform[200:-200], expected[200:-200], atol=1e-4)


def test_a_round_trip_through_a_file_keeps_16_bit_samples(tmp_path: Path) -> None:
    waveform = np.random.default_rng(0).integers(-(2**15), 2**15, 5_000) / 2.0**15
    write_wav(tmp_path / "a.wav", waveform)
    np.testing.assert_array_equal(read_waveform(tmp_path / "a.wav"), waveform)


def test_a_long_recording_is_read_in_little_memory(tmp_path: Path) -> None:
    path = float_wav(tmp_path / "a.wav", np.zeros((1, 2)), 48_000)
    n_bytes = 2 * 60 * 48_000 * 8  # 46 MB, none of it on disk
    header = bytearray(path.read_bytes()[:44])
    header[4:8], header[40:44] = struct.pack("<I", n_bytes + 36), struct.pack("<I", n_bytes)
    path.write_bytes(header)
    with path.open("r+b") as file:
        file.truncate(44 + n_bytes)
    tracemalloc.start()
    with open_recording(path) as recording:
        n_samples = sum(len(block) for block in recording.blocks())
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_samples == 2 * 60 * 48_000
    assert peak_bytes < 16_000_000


@settings(max_examples=50, deadline=None)
@given(
    content=st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(lambda tail: b"RIFF\x10\0\0\0WAVEfmt " + tail))
)
def test_any_file_is_read_or_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.wav"
    path.write_bytes(content)
    try:
        waveform = read_waveform(path)
    except AudioError as error:
        assert "any.wav" in str(error)
    else:
        assert np.isfinite(waveform).all()


def test_without_pyav_wav_is_read_and_the_rest_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.flac").write_bytes(b"fLaC" + bytes(40))
    with pytest.raises(
        AudioError, match=r"a\.flac is FLAC, which needs the package av \(PyAV\): install it or convert"
    ):
        open_recording(tmp_path / "a.flac")
    write_wav(tmp_path / "a.wav", noise(100))
    assert len(read_waveform(tmp_path / "a.wav")) == 100


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the corpora are not beside the project")
@pytest.mark.parametrize("pattern", ["covid19_cough/audio/*.opus", "rir_webaudio/audio/*.flac"])
def test_the_corpora_can_be_read(pattern: str) -> None:
    pytest.importorskip("av", reason="a phone reads WAV only")
    path = sorted(SHARED_DATA.glob(pattern))[0]
    with open_recording(path) as recording:
        assert recording.sample_rate_hz in (16_000, 48_000)  # Opus is decoded at 48 kHz
        assert sum(len(block) for block in recording.blocks()) == recording.n_frames > 0
        assert not recording.truncated
