"""Standard input is a WAV by its header, raw PCM as it is described, or refused; never taken for what it is not."""

import contextlib
import io
import os
import struct
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from core.audio import write_wav
from core.demonstration import synthesize_demonstration
from core.errors import AudioError
from core.screening.raw_sound import SAMPLE_TYPES, RawFormat, doubt
from core.screening.standard_input import RawOptions, StandardInput

COUGHS = synthesize_demonstration()
UNDESCRIBED = RawOptions()
ROOM = (0.003 * np.random.default_rng(0).normal(size=5 * 16000)).astype(np.float32)


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Puts bytes on standard input, through a pipe."""

    def put(content: bytes) -> None:
        reading, writing = os.pipe()
        monkeypatch.setattr("sys.stdin", os.fdopen(reading))

        def write() -> None:
            with os.fdopen(writing, "wb") as file, contextlib.suppress(BrokenPipeError):
                file.write(content)

        threading.Thread(target=write, daemon=True).start()

    return put


def heard(options: RawOptions = UNDESCRIBED) -> tuple[StandardInput, np.ndarray]:
    stream = StandardInput(options)
    return stream, np.concatenate([np.zeros(0, np.float32), *stream.blocks()])


def encoded(waveform: np.ndarray, name: str) -> bytes:
    """A waveform in a raw sample format."""
    kind, bits, order = name[0], int(name.strip("sufble")), ">" if name.endswith("be") else "<"
    if kind == "f":
        return waveform.astype(f"{order}f{bits // 8}").tobytes()
    if kind == "u":
        return np.clip(np.rint(waveform * 127 + 128), 0, 255).astype(np.uint8).tobytes()
    steps = np.clip(np.rint(waveform.astype(np.float64) * 2.0 ** (bits - 1)), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    wide = steps.astype(np.int64).astype(f"{order}i8").view(np.uint8).reshape(-1, 8)
    return (wide[:, 8 - bits // 8 :] if order == ">" else wide[:, : bits // 8]).tobytes()


def wav(data: bytes, codec: int = 1, channels: int = 1, rate_hz: int = 16000, bits: int = 16, size: int | None = None):
    """A WAV whose header says what it is told to say."""
    frame_bytes = channels * bits // 8
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, codec, channels, rate_hz, rate_hz * frame_bytes, frame_bytes, bits)
    note = b"LIST" + struct.pack("<I", 4) + b"INFO"
    size = len(data) if size is None else size
    riff = 0xFFFFFFFF if size == 0xFFFFFFFF else 4 + len(head) + len(note) + 8 + size
    return b"RIFF" + struct.pack("<I", riff) + b"WAVE" + head + note + b"data" + struct.pack("<I", size) + data


@pytest.mark.parametrize("size", [None, 0, 0xFFFFFFFF, 0x7FFFF000])
@pytest.mark.parametrize(
    ("name", "codec", "bits"), [("s16le", 1, 16), ("s24le", 1, 24), ("f32le", 3, 32), ("u8", 1, 8)]
)
def test_a_wav_is_read_by_its_header(feed, size: int | None, name: str, codec: int, bits: int) -> None:
    both = np.repeat(COUGHS, 2)
    feed(wav(encoded(both, name), codec, 2, 48_000, bits, size))
    stream, waveform = heard()
    assert (stream.sample_rate_hz, len(waveform), stream.remark) == (48_000, len(COUGHS), "")
    assert np.abs(waveform - COUGHS).max() <= (0.01 if name == "u8" else 1e-4)


def test_a_file_of_ours_is_heard_sample_by_sample_and_a_second_one_after_it(feed) -> None:
    content = io.BytesIO()
    write_wav(content, COUGHS)
    feed(content.getvalue() * 2)
    stream, waveform = heard()
    assert np.array_equal(waveform, np.tile(np.rint(COUGHS * 32768) / 32768, 2).astype(np.float32))
    assert stream.remark == ""


def test_what_follows_too_small_a_size_is_heard_and_said(feed) -> None:
    feed(wav(encoded(COUGHS, "s16le"), size=32_000))
    stream, waveform = heard()
    assert len(waveform) == len(COUGHS)
    assert stream.remark.startswith("the header of the WAV says 32000 bytes of sound")


def test_a_wav_that_ends_early_is_heard_to_its_last_whole_sample_and_says_so(feed) -> None:
    feed(wav(encoded(COUGHS, "s16le")[:-1001], size=2 * len(COUGHS)))
    stream, waveform = heard()
    assert len(waveform) == len(COUGHS) - 501
    assert stream.remark != ""
    feed(wav(encoded(COUGHS, "s16le"), size=2 * len(COUGHS) + 44))
    stream, waveform = heard()
    assert len(waveform) == len(COUGHS)
    assert stream.remark == "the WAV ended 44 bytes before the end that its header gives"


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"fLaC\0\0\0\x22", "FLAC"), (b"OggS\0\2", "Ogg"), (b"ID3\4\0\0", "MP3"), (b"FORM\0\0\0\0AIFF", "AIFF"),
        (b"\0\0\0\x20ftypM4A ", "MPEG-4"), (b"\x1a\x45\xdf\xa3\x9f", "WebM"), (b".snd\0\0\0\x18", "AU"),
        (b"caff\0\1\0\0", "CAF"), (b"riff\x2e\x91\xcf\x11", "W64"), (b"RIFX\0\0\0\0WAVE", "RIFX"),
    ],
)  # fmt: skip
def test_another_format_is_refused_by_its_name_and_how_to_decode_it_is_told(feed, head: bytes, name: str) -> None:
    feed(head + bytes(100_000))
    with pytest.raises(AudioError, match=rf"standard input is .*{name}.*ffmpeg .* -f s16le"):
        StandardInput(RawOptions())


@pytest.mark.parametrize("name", SAMPLE_TYPES)
def test_every_raw_format_is_read_where_it_is_described(feed, name: str) -> None:
    stereo = np.stack([COUGHS, 0.5 * COUGHS], axis=1)
    feed(encoded(stereo.reshape(-1), name))
    stream, waveform = heard(RawOptions(44_100, 2, name))
    assert stream.sample_rate_hz == 44_100
    assert np.abs(waveform - 0.75 * COUGHS).max() <= (0.01 if name == "u8" else 1e-4)


@pytest.mark.parametrize("sound", ["coughs", "room"])
@pytest.mark.parametrize("name", [name for name in SAMPLE_TYPES if name != "s16le"])
def test_raw_sound_of_another_format_is_refused_where_it_is_not_described(feed, name: str, sound: str) -> None:
    feed(encoded(COUGHS if sound == "coughs" else ROOM, name))
    with pytest.raises(AudioError, match=r"standard input is not raw PCM as it was taken for: .*--format"):
        heard()


@pytest.mark.parametrize("factor", [1.0, 0.3, 0.0])
def test_stereo_is_not_taken_for_mono(feed, factor: float) -> None:
    content = encoded(np.stack([COUGHS, factor * COUGHS], axis=1).reshape(-1), "s16le")
    feed(content)
    with pytest.raises(AudioError, match="it is stereo, or has samples of 32 bits"):
        heard()
    feed(content)
    assert len(heard(RawOptions(n_channels=1))[1]) == 2 * len(COUGHS)


def test_stereo_of_two_unlike_sounds_is_not_taken_for_mono() -> None:
    smooth = np.convolve(np.random.default_rng(1).normal(size=(2 * 80_000)), np.ones(12), "same").reshape(2, -1)
    content = encoded((0.01 * smooth).T.reshape(-1), "s16le")
    assert "stereo" in doubt(content)


def test_compressed_sound_is_refused(feed) -> None:
    feed(np.random.default_rng(0).bytes(400_000))
    with pytest.raises(AudioError, match="noise at full scale: compressed"):
        heard()


@pytest.mark.parametrize(
    "waveform",
    [
        COUGHS, ROOM, np.tile(COUGHS, 3), 0.01 * COUGHS + 0.6, 0.05 * COUGHS + 0.42, np.round(COUGHS * 128) / 128,
        0.99 * np.sign(np.sin(np.arange(80_000) / 40)), 0.4 * np.sin(2 * np.pi * 120 / 16000 * np.arange(80_000)),
        np.random.default_rng(2).uniform(-0.4, 0.4, 80_000), ROOM / 40,
        0.5 * np.sin(2 * np.pi * 5000 / 16000 * np.arange(80_000)), np.tile(ROOM[:8000], 12).clip(-0.001, 0.001),
    ],
)  # fmt: skip
def test_sound_is_never_doubted_where_it_is_what_it_was_taken_for(waveform: np.ndarray) -> None:
    assert not doubt(encoded(waveform, "s16le"))


def test_silence_is_no_reason_to_doubt_and_what_follows_it_is(feed) -> None:
    feed(bytes(320_000) + encoded(COUGHS, "f32le"))
    stream = StandardInput(RawOptions())
    blocks = stream.blocks()
    assert sum(len(next(blocks)) for _ in range(16)) == 128_000
    with pytest.raises(AudioError, match="f32le"):
        list(blocks)


def test_an_odd_byte_at_the_end_is_dropped_and_said(feed) -> None:
    feed(encoded(COUGHS, "s16le") + b"x")
    stream, waveform = heard()
    assert len(waveform) == len(COUGHS)
    assert stream.remark == "standard input ended within a sample; its last 1 byte(s) were dropped"


def test_input_that_does_not_block_is_read_and_a_silent_writer_does_not_keep_the_end_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    monkeypatch.setattr("sys.stdin", os.fdopen(reading))
    ended = threading.Event()
    content = encoded(COUGHS, "s16le")

    def write() -> None:
        for start in range(0, len(content), 5001):
            os.write(writing, content[start : start + 5001])
            time.sleep(0.002)
        time.sleep(0.5)
        ended.set()  # and the pipe stays open

    threading.Thread(target=write, daemon=True).start()
    stream = StandardInput(RawOptions(), ended.is_set)
    assert sum(map(len, stream.blocks())) == len(COUGHS)
    assert stream.remark == ""
    os.close(writing)


@pytest.mark.parametrize(
    "options", [RawOptions(sample_rate_hz=8000), RawOptions(n_channels=2), RawOptions(None, None, "u8")]
)
def test_options_that_contradict_a_header_are_refused(feed, options: RawOptions) -> None:
    feed(wav(encoded(COUGHS, "s16le")))
    with pytest.raises(AudioError, match="standard input is a WAV"):
        StandardInput(options)


def test_a_raw_format_knows_its_size() -> None:
    assert [RawFormat(name, 16000, 2).frame_bytes for name in ("u8", "s16be", "s24le", "f64le")] == [2, 4, 6, 16]
