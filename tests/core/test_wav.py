"""The WAV parser reads what real writers write, refuses the rest in one sentence, and never fails otherwise."""

import io
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import AudioError, OutputError
from core.wav import GUID_TAIL, WavDecoder, write_wav

PCM, FLOAT = 1, 3


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    """A chunk padded to an even length; `size` overrides the length that it declares."""
    return struct.pack("<4sI", name, len(content) if size is None else size) + content + bytes(len(content) % 2)


def fmt(codec: int = PCM, n_channels: int = 1, rate_hz: int = 16_000, bits: int = 16, extra: bytes = b"") -> bytes:
    frame_bytes = n_channels * bits // 8
    fields = (codec, n_channels, rate_hz, rate_hz * frame_bytes, frame_bytes, bits)
    return chunk(b"fmt ", struct.pack("<HHIIHH", *fields) + extra)


def riff(*chunks: bytes, size: int | None = None, magic: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return struct.pack("<4sI", magic, len(body) if size is None else size) + body


def decode(content: bytes) -> np.ndarray:
    """All frames, shape (n, n_channels)."""
    decoder = WavDecoder(io.BytesIO(content), "a.wav")
    decoder.rewind()
    frames = decoder.read(decoder.n_frames)
    assert frames.shape == (decoder.n_frames, decoder.n_channels)
    assert frames.dtype == np.float32
    return frames


SAMPLES = {
    "unsigned 8-bit": (PCM, 8, bytes([0, 64, 128, 192, 255]), [-1, -0.5, 0, 0.5, 127 / 128]),
    "16-bit": (PCM, 16, struct.pack("<4h", -32768, -1, 16384, 32767), [-1, -(2**-15), 0.5, 1 - 2**-15]),
    "24-bit": (PCM, 24, bytes.fromhex("000080 ffffff 000040 ffff7f"), [-1, -(2**-23), 0.5, 1 - 2**-23]),
    "32-bit": (PCM, 32, struct.pack("<3i", -(2**31), 2**30, 2**8), [-1, 0.5, 2**-23]),
    "float32": (FLOAT, 32, struct.pack("<3f", -1.5, 0.25, 7.0), [-1.5, 0.25, 7.0]),
    "float64": (FLOAT, 64, struct.pack("<3d", -1.5, 0.25, 1e300), [-1.5, 0.25, np.inf]),
}


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("extensible", [False, True])
def test_every_sample_type_has_its_exact_values(kind: str, extensible: bool) -> None:
    codec, bits, data, expected = SAMPLES[kind]
    extra = struct.pack("<HHIH", 22, bits, 4, codec) + GUID_TAIL
    description = fmt(0xFFFE, bits=bits, extra=extra) if extensible else fmt(codec, bits=bits)
    np.testing.assert_array_equal(decode(riff(description, chunk(b"data", data)))[:, 0], expected)


def test_channels_stay_apart() -> None:
    frames = decode(riff(fmt(n_channels=2), chunk(b"data", struct.pack("<4h", 16384, -16384, 8192, -8192))))
    np.testing.assert_array_equal(frames, [[0.5, -0.5], [0.25, -0.25]])


def test_odd_and_unknown_chunks_are_passed_over() -> None:
    others = [chunk(b"JUNK", b"odd"), chunk(b"LIST", b"INFOISFT\x05\x00\x00\x00me..\x00"), chunk(b"fact", bytes(4))]
    content = riff(
        others[0], fmt(extra=b"\x00\x00"), *others[1:], chunk(b"data", b"\x00\x40" * 3), chunk(b"id3 ", b"data")
    )
    np.testing.assert_array_equal(decode(content)[:, 0], [0.5] * 3)


def test_the_last_byte_of_half_a_frame_is_left_out() -> None:
    assert len(decode(riff(fmt(), chunk(b"data", b"\x00\x40" * 3 + b"\x01")))) == 3


@pytest.mark.parametrize("data_size", [0, 0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF])
@pytest.mark.parametrize("riff_size", [0, 0xFFFFFFFF])
def test_a_writer_that_could_not_seek_back_means_to_the_end_of_the_file(data_size: int, riff_size: int) -> None:
    content = riff(fmt(), chunk(b"data", b"\x00\x40" * 9, size=data_size), size=riff_size)
    assert len(decode(content)) == 9


def test_an_empty_data_chunk_in_a_finished_file_is_empty() -> None:
    assert len(decode(riff(fmt(), chunk(b"data", b""), chunk(b"LIST", bytes(8))))) == 0


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
def test_a_64_bit_header_gives_the_length(magic: bytes) -> None:
    sizes = chunk(b"ds64", struct.pack("<QQQI", 100, 8, 4, 0))
    content = riff(sizes, fmt(), chunk(b"data", b"\x00\x40" * 9, size=0xFFFFFFFF), size=0xFFFFFFFF, magic=magic)
    assert len(decode(content)) == 4


def test_a_64_bit_header_that_promises_more_is_cut_short() -> None:
    sizes = chunk(b"ds64", struct.pack("<QQQI", 2**40, 2**40, 2**39, 0))
    with pytest.raises(AudioError, match=f"its header says {2**40} bytes of sound, 18 are there"):
        decode(riff(sizes, fmt(), chunk(b"data", b"\x00\x40" * 9, size=0xFFFFFFFF), magic=b"RF64"))


def refused() -> dict[str, tuple[bytes, str]]:
    data = chunk(b"data", bytes(16))
    unknown_guid = fmt(0xFFFE, extra=struct.pack("<HHIH", 22, 16, 4, PCM) + bytes(14))
    bad_frame = chunk(b"fmt ", struct.pack("<HHIIHH", PCM, 2, 16_000, 32_000, 2, 16))
    return {
        "big-endian": (riff(fmt(), data, magic=b"RIFX"), "big-endian WAV"),
        "A-law": (riff(fmt(6, bits=8), data), r"A-law \(WAV codec 0x0006\), not supported; convert it to 16-bit PCM"),
        "ADPCM": (riff(fmt(0x11, bits=4), data), r"IMA ADPCM \(WAV codec 0x0011\)"),
        "unknown codec": (riff(fmt(0x4242), data), r"an unknown codec \(WAV codec 0x4242\)"),
        "unknown extension": (riff(unknown_guid, data), "a codec that is not supported"),
        "12-bit": (riff(fmt(bits=12), data), "has 12-bit integer samples; expected 8, 16, 24 or 32-bit integer"),
        "16-bit float": (riff(fmt(FLOAT), data), "has 16-bit float samples"),
        "no channels": (riff(fmt(n_channels=0), data), "0 channels of 16 bits cannot take 0 bytes"),
        "frame size": (riff(bad_frame, data), "2 channels of 16 bits cannot take 2 bytes"),
        "order": (riff(data, fmt()), "samples come before the description"),
        "no data": (riff(fmt()), "ends within its header"),
        "short data": (riff(fmt(), data)[:-3], "its header says 16 bytes of sound, 13 are there"),
        "short fmt": (riff(fmt())[:30], "format description has 10 bytes, at least 16"),
        "head only": (riff(fmt())[:12], "ends within its header"),
        "not WAV": (b"RIFF\x00\x00\x00\x00AVI ", "is not a WAV recording"),
        "endless chunks": (riff(*[chunk(b"JUNK", b"")] * 20_000, fmt(), data), "ends within its header"),
    }


@pytest.mark.parametrize("case", refused())
def test_what_cannot_be_read_is_refused_in_one_sentence_that_names_the_file(case: str) -> None:
    content, sentence = refused()[case]
    with pytest.raises(AudioError, match=rf"^a\.wav .*{sentence}.*\.$"):
        decode(content)


def test_a_header_cut_anywhere_is_refused() -> None:
    whole = riff(fmt(), chunk(b"LIST", b"12345"), chunk(b"data", bytes(10)))
    for n_bytes in range(len(whole)):
        with pytest.raises(AudioError):
            decode(whole[:n_bytes])


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=200))
@example(content=b"")
def test_any_bytes_either_parse_or_are_refused(content: bytes) -> None:
    for prefix in (b"", b"RIFF\x00\x00\x00\x00WAVE", riff(fmt()), riff(fmt(FLOAT, bits=64), b"data")):
        try:
            decode(prefix + content)
        except AudioError as error:
            assert str(error).startswith("a.wav ")


@settings(max_examples=150, deadline=None)
@given(edits=st.lists(st.tuples(st.integers(0, 79), st.integers(0, 255)), max_size=5))
def test_any_damage_to_a_header_either_parses_or_is_refused(edits: list[tuple[int, int]]) -> None:
    content = bytearray(
        riff(fmt(n_channels=2, bits=24, extra=b"\x00\x00"), chunk(b"LIST", bytes(5)), chunk(b"data", bytes(600)))
    )
    for position, value in edits:
        content[position] = value
    try:
        decode(bytes(content))
    except AudioError as error:
        assert str(error).startswith("a.wav ")


@settings(max_examples=60, deadline=None)
@given(samples=st.lists(st.floats(-4, 4, width=32), max_size=300), rate_hz=st.integers(4_000, 384_000))
def test_written_samples_come_back_rounded_and_saturated(samples: list[float], rate_hz: int) -> None:
    file = io.BytesIO()
    write_wav(file, np.array(samples, np.float32), rate_hz)
    decoder = WavDecoder(file, "a.wav")
    assert (decoder.sample_rate_hz, decoder.n_channels, decoder.n_frames) == (rate_hz, 1, len(samples))
    decoder.rewind()
    expected = np.clip(np.rint(np.array(samples) * 2.0**15), -(2**15), 2**15 - 1) / 2.0**15
    np.testing.assert_array_equal(decoder.read(len(samples))[:, 0], expected)


def test_the_standard_library_reads_what_is_written(tmp_path) -> None:
    import wave

    write_wav(tmp_path / "a.wav", np.array([0.0, 0.5, -1.0, 1.0, 2.0]), 8_000)
    with wave.open(str(tmp_path / "a.wav")) as read:
        assert read.getparams()[:4] == (1, 2, 8_000, 5)
        assert struct.unpack("<5h", read.readframes(5)) == (0, 16384, -32768, 32767, 32767)


@pytest.mark.parametrize("waveform", [[[0.0, 1.0]], [0.0, np.nan], [np.inf]])
def test_what_is_no_waveform_is_not_written(waveform: list, tmp_path) -> None:
    with pytest.raises(AudioError, match="cannot be written; expected"):
        write_wav(tmp_path / "a.wav", np.array(waveform))
    assert not list(tmp_path.iterdir())


def test_a_path_that_cannot_be_written_is_an_output_error(tmp_path) -> None:
    with pytest.raises(OutputError, match="there is no folder"):
        write_wav(tmp_path / "missing" / "a.wav", np.zeros(4))
