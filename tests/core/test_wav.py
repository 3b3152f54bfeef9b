"""The WAV parser reads what real writers write, refuses the rest in one sentence, and never fails otherwise."""

import io
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import AudioError, OutputError
from core.wav import GUID_TAIL, WavDecoder, read_wav_layout, write_wav

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
    return read_all(content)[0]


def read_all(content: bytes) -> tuple[np.ndarray, WavDecoder]:
    """All frames, read a few at a time, and the decoder that is at the end."""
    decoder = WavDecoder(io.BytesIO(content), "a.wav")
    pieces = [np.zeros((0, decoder.n_channels), np.float32)]
    while len(piece := decoder.read(50)):
        assert piece.dtype == np.float32
        pieces.append(piece)
    decoder.rewind()
    frames = decoder.read(10**9)
    np.testing.assert_array_equal(frames, np.concatenate(pieces))
    return frames, decoder


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
    data = chunk(b"data", b"\x00\x40" * 4, size=0xFFFFFFFF)
    content = riff(sizes, fmt(), data, chunk(b"LIST", bytes(10)), size=0xFFFFFFFF, magic=magic)
    assert len(decode(content)) == 4


@pytest.mark.parametrize("long_size", [0, 2**63, 2**64 - 1])
def test_a_64_bit_header_of_a_pipe_means_to_the_end_of_the_file(long_size: int) -> None:
    sizes = chunk(b"ds64", struct.pack("<QQQI", long_size, long_size, 0, 0))
    frames, decoder = read_all(riff(sizes, fmt(), chunk(b"data", b"\x00\x40" * 9, size=0xFFFFFFFF), magic=b"RF64"))
    assert (len(frames), decoder.truncated) == (9, False)


def test_a_64_bit_header_that_promises_more_is_cut_short() -> None:
    sizes = chunk(b"ds64", struct.pack("<QQQI", 2**40, 2**40, 2**39, 0))
    frames, decoder = read_all(riff(sizes, fmt(), chunk(b"data", b"\x00\x40" * 9, size=0xFFFFFFFF), magic=b"RF64"))
    assert (len(frames), decoder.truncated) == (9, True)


HEADER_BYTES = 44


def sound(n_frames: int) -> bytes:
    return np.random.default_rng(0).integers(-3000, 3000, n_frames).astype("<i2").tobytes()


@pytest.mark.parametrize("too_large", [1, 8, 36, HEADER_BYTES])
@pytest.mark.parametrize("is_riff_right", [True, False])
def test_a_size_that_counts_the_header_too_cuts_nothing_short(too_large: int, is_riff_right: bool) -> None:
    content = riff(fmt(), chunk(b"data", sound(500), size=1000 + too_large), size=None if is_riff_right else 1036)
    frames, decoder = read_all(content)
    assert (len(frames), decoder.truncated, decoder.remark) == (500, False, None)


def test_a_recording_that_was_cut_short_is_read_to_its_last_whole_frame_and_says_so() -> None:
    frames, decoder = read_all(riff(fmt(), chunk(b"data", sound(50_000)))[: HEADER_BYTES + 30_001])
    assert (len(frames), decoder.truncated) == (15_000, True)
    assert decoder.remark == "The recording is cut short: 2.2 s that its header promises are not there."


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_size_that_was_never_filled_in_means_to_the_end_though_the_outer_one_was(size: int) -> None:
    frames, decoder = read_all(riff(fmt(), chunk(b"data", sound(500), size=size)))
    assert (len(frames), decoder.truncated) == (500, False)


@pytest.mark.parametrize("share", [2, 3, 10])
def test_sound_beyond_the_size_that_the_header_gives_is_read(share: int) -> None:
    frames, decoder = read_all(riff(fmt(), chunk(b"data", sound(600), size=1200 // share)))
    assert (len(frames), decoder.truncated) == (600, False)


@pytest.mark.parametrize(
    "tail", [b"", b"\0", chunk(b"LIST", b"INFO"), chunk(b"id3 ", b"abc"), b"TAG" + bytes(125), b"ID3\x04" + bytes(50)]
)
def test_what_other_tools_put_behind_the_sound_is_not_sound(tail: bytes) -> None:
    assert len(decode(riff(fmt(), chunk(b"data", sound(500))) + tail)) == 500


@pytest.mark.parametrize("behind", [b"", chunk(b"LIST", bytes(10))])
def test_a_size_that_was_wrapped_at_4_gib_is_unwrapped(tmp_path, behind: bytes) -> None:
    n_bytes = 2**32 + 2_000
    path = tmp_path / "long.wav"
    with path.open("wb") as file:  # sparse
        file.write(riff(fmt(n_channels=2, rate_hz=48_000), struct.pack("<4sI", b"data", n_bytes % 2**32)))
        file.seek(HEADER_BYTES + n_bytes)
        file.write(behind)
        file.truncate()
    with path.open("rb") as file:
        layout = read_wav_layout(file, path)
    assert layout.stretches == ((HEADER_BYTES, n_bytes // 4),)


@pytest.mark.parametrize(("block", "rate"), [(1, 32_000), (4, 64_000), (0, 0), (2, 1)])
def test_a_wrong_block_length_changes_nothing(block: int, rate: int) -> None:
    description = chunk(b"fmt ", struct.pack("<HHIIHH", PCM, 1, 16_000, rate, block, 16))
    right = decode(riff(fmt(), chunk(b"data", sound(500))))
    np.testing.assert_array_equal(decode(riff(description, chunk(b"data", sound(500)))), right)


def test_samples_that_are_padded_to_four_bytes_are_read_as_four() -> None:
    description = chunk(b"fmt ", struct.pack("<HHIIHH", PCM, 1, 16_000, 64_000, 4, 24))
    data = struct.pack("<2i", 2**30, -(2**31))
    np.testing.assert_array_equal(decode(riff(description, chunk(b"data", data)))[:, 0], [0.5, -1])


def test_joined_files_and_several_stretches_of_sound_are_read_as_one() -> None:
    one, two = riff(fmt(), chunk(b"data", sound(500))), riff(fmt(), chunk(b"data", sound(300)))
    np.testing.assert_array_equal(decode(one + two + one), np.concatenate([decode(one), decode(two), decode(one)]))
    several = riff(fmt(), chunk(b"data", sound(500)), chunk(b"LIST", bytes(6)), chunk(b"data", sound(300)))
    np.testing.assert_array_equal(decode(several), decode(one + two))


def test_a_joined_file_of_another_format_is_named() -> None:
    frames, decoder = read_all(
        riff(fmt(), chunk(b"data", sound(500))) + riff(fmt(rate_hz=8_000), chunk(b"data", sound(300)))
    )
    assert (len(frames), decoder.truncated) == (500, True)
    assert decoder.remark.startswith("Another recording of another sample format is joined to this one")


def refused() -> dict[str, tuple[bytes, str]]:
    data = chunk(b"data", bytes(16))
    unknown_guid = fmt(0xFFFE, extra=struct.pack("<HHIH", 22, 16, 4, PCM) + bytes(14))
    return {
        "big-endian": (riff(fmt(), data, magic=b"RIFX"), "big-endian WAV"),
        "A-law": (riff(fmt(6, bits=8), data), r"A-law \(WAV codec 0x0006\), not supported; convert it to 16-bit PCM"),
        "ADPCM": (riff(fmt(0x11, bits=4), data), r"IMA ADPCM \(WAV codec 0x0011\)"),
        "unknown codec": (riff(fmt(0x4242), data), r"an unknown codec \(WAV codec 0x4242\)"),
        "unknown extension": (riff(unknown_guid, data), "a codec that is not supported"),
        "40-bit": (riff(fmt(bits=40), data), "has 40-bit integer samples; expected 8, 16, 24 or 32-bit integer"),
        "16-bit float": (riff(fmt(FLOAT), data), "has 16-bit float samples"),
        "no channels": (riff(fmt(n_channels=0), data), "its header says that it has no channel"),
        "order": (riff(data, fmt()), "samples come before the description"),
        "no data": (riff(fmt()), "ends within its header"),
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
    for n_bytes in range(len(whole) - 10):
        with pytest.raises(AudioError):
            decode(whole[:n_bytes])
    for n_bytes in range(len(whole) - 10, len(whole)):
        assert len(decode(whole[:n_bytes])) == (n_bytes - len(whole) + 10) // 2


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
    assert (decoder.sample_rate_hz, decoder.n_channels) == (rate_hz, 1)
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
