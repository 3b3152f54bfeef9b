"""A recording is opened by its content, checked, and given in blocks that do not change its samples."""

import struct
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.audio import PIECE_FRAMES, open_recording, read_waveform, write_wav
from core.errors import AudioError
from core.files import sha256_of_file

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


def read_native(path: Path, block_s: float = 10.0) -> np.ndarray:
    with open_recording(path) as recording:
        return np.concatenate(list(recording.blocks(block_s)))


def noise(n_samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(n_samples)).astype(np.float32)


def test_an_open_recording_says_what_it_is(tmp_path: Path) -> None:
    path = float_wav(tmp_path / "a.wav", np.zeros((4_410, 2)), 44_100)
    with open_recording(str(path)) as recording:
        assert recording.path == path
        assert (recording.sample_rate_hz, recording.n_channels, recording.n_frames) == (44_100, 2, 4_410)
        assert recording.duration_s == 0.1
        assert recording.sha256 == sha256_of_file(path)


def test_blocks_have_the_length_asked_for_and_can_be_read_twice(tmp_path: Path) -> None:
    path = float_wav(tmp_path / "a.wav", noise(20_000), 8_000)
    with open_recording(path) as recording:
        first, second = list(recording.blocks(1.0)), list(recording.blocks(1.0))
    assert [len(block) for block in first] == [8_000, 8_000, 4_000]
    np.testing.assert_array_equal(np.concatenate(first), noise(20_000))
    np.testing.assert_array_equal(np.concatenate(second), noise(20_000))


@pytest.mark.parametrize("block_s", [0.0001, 0.013, 1.0, 3.0, 100.0])
def test_the_samples_do_not_depend_on_the_length_of_the_blocks(tmp_path: Path, block_s: float) -> None:
    frames = noise(2 * (2 * PIECE_FRAMES + 777)).reshape(-1, 2)
    path = float_wav(tmp_path / "a.wav", frames, 48_000)
    np.testing.assert_array_equal(read_native(path, block_s), read_native(path))


def test_a_block_of_less_than_one_sample_is_refused(tmp_path: Path) -> None:
    with (
        open_recording(float_wav(tmp_path / "a.wav", np.zeros(10))) as recording,
        pytest.raises(ValueError, match=r"block_s is 1e-09; expected at least one sample"),
    ):
        next(recording.blocks(1e-9))


def test_stereo_is_averaged(tmp_path: Path) -> None:
    left, right = noise(5_000, 1), noise(5_000, 2)
    mixed = read_native(float_wav(tmp_path / "a.wav", np.column_stack([left, right])))
    np.testing.assert_allclose(mixed, (left + right) / 2, atol=1e-8)


def test_one_silent_channel_is_averaged_too(tmp_path: Path) -> None:
    sound = noise(5_000)
    mixed = read_native(float_wav(tmp_path / "a.wav", np.column_stack([sound, 0 * sound])))
    np.testing.assert_allclose(mixed, sound / 2, atol=1e-8)


@pytest.mark.parametrize(("left", "right", "taken"), [(1.0, -1.0, 0), (1.0, -0.9, 0), (0.8, -1.0, 1)])
@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_channels_that_cancel_give_the_louder_one(
    tmp_path: Path, left: float, right: float, taken: int, offset: float
) -> None:
    frames = np.column_stack([left * noise(90_000), right * noise(90_000)]) + np.float32(offset)
    mixed = read_native(float_wav(tmp_path / "a.wav", frames), block_s=0.5)
    np.testing.assert_array_equal(mixed, frames[:, taken].astype(np.float32))


def test_the_choice_of_channel_is_made_once_for_the_whole_recording(tmp_path: Path) -> None:
    sound = noise(3 * PIECE_FRAMES)
    frames = np.column_stack([sound, -0.9 * sound])
    frames[:1_000] = 0.01  # an in-phase beginning must not decide
    np.testing.assert_array_equal(read_native(float_wav(tmp_path / "a.wav", frames)), frames[:, 0])


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
        (10, 7, 16_000, "has 7 channels; expected 1 or 2"),
        (0, 1, 16_000, "holds no samples"),
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
        (
            b"\x00\x00\x00\x20ftypM4A \x00\x00",
            r"is MPEG-4 \(M4A, AAC or 3GP\), which is not supported; convert it to WAV",
        ),
        (b"#!AMR\n" + bytes(40), "is AMR, which is not supported; convert it to WAV"),
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


def test_a_truncated_file_is_refused_on_opening_and_one_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = float_wav(tmp_path / "a.wav", np.zeros(100_000))
    with open_recording(path) as recording:
        blocks = recording.blocks(1.0)
        next(blocks)
        path.write_bytes(path.read_bytes()[:300_044])
        with pytest.raises(AudioError, match=r"is cut short: 75000 of 100000 samples are there"):
            list(blocks)
    with pytest.raises(AudioError, match="is cut short: its header says 400000 bytes of sound, 300000 are there"):
        open_recording(path)


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


def compressed(path: Path, frames: np.ndarray, rate_hz: int, **kind: str) -> Path:
    soundfile = pytest.importorskip("soundfile", reason="a phone reads WAV only")
    with path.open("wb") as file:
        soundfile.write(file, frames, rate_hz, **kind)
    return path


@pytest.mark.parametrize(
    ("format_name", "subtype", "tolerance"),
    [("FLAC", "PCM_16", 2e-5), ("OGG", "VORBIS", 0.05), ("OGG", "OPUS", 0.05), ("MP3", "MPEG_LAYER_III", 0.05)],
)
@pytest.mark.parametrize("name", ["a.wav", "a.raw"])
def test_compressed_sound_is_recognized_by_its_content(
    tmp_path: Path, format_name: str, subtype: str, tolerance: float, name: str
) -> None:
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 48_000)).astype(np.float32)
    path = compressed(tmp_path / name, np.column_stack([tone, tone]), 48_000, format=format_name, subtype=subtype)
    with open_recording(path) as recording:
        assert (recording.sample_rate_hz, recording.n_channels, recording.n_frames) == (48_000, 2, 24_000)
    assert np.sqrt(np.mean(np.square(read_native(path) - tone))) < tolerance


def test_a_compressed_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    path = compressed(tmp_path / "a.flac", noise(48_000), 48_000, format="FLAC")
    content = path.read_bytes()
    for n_bytes in (30, len(content) // 2):
        path.write_bytes(content[:n_bytes])
        with pytest.raises(AudioError, match=r"a\.flac cannot be decoded to its end: the FLAC is damaged or cut short"):
            read_waveform(path)


def test_a_streamed_flac_is_refused_in_words(tmp_path: Path) -> None:
    path = compressed(tmp_path / "a.flac", noise(4_800), 48_000, format="FLAC")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the number of samples in the first metadata block, 36 bits
    content[22:26] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(AudioError, match="does not say how long it is"):
        open_recording(path)


def test_without_soundfile_wav_is_read_and_the_rest_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    (tmp_path / "a.flac").write_bytes(b"fLaC" + bytes(40))
    with pytest.raises(AudioError, match=r"a\.flac is FLAC, which needs the soundfile package: install it or convert"):
        open_recording(tmp_path / "a.flac")
    write_wav(tmp_path / "a.wav", noise(100))
    assert len(read_waveform(tmp_path / "a.wav")) == 100


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the corpora are not beside the project")
@pytest.mark.parametrize("pattern", ["covid19_cough/audio/*.opus", "rir_webaudio/audio/*.flac"])
def test_the_corpora_can_be_read(pattern: str) -> None:
    pytest.importorskip("soundfile", reason="a phone reads WAV only")
    path = sorted(SHARED_DATA.glob(pattern))[0]
    with open_recording(path) as recording:
        assert recording.sample_rate_hz == 16_000
        assert len(read_waveform(path)) == recording.n_frames
