"""Compressed recordings of every common kind are read whole, or it is said how much is missing."""

import io
from pathlib import Path

import numpy as np
import pytest

from core.audio import open_recording
from core.errors import AudioError

av = pytest.importorskip("av", reason="a phone reads WAV only")

TONE_HZ, DURATION_S = 440, 3.0
KINDS = {  # name: (format, codec, rate, tolerance of the sound, of the length in s)
    "FLAC": ("flac", "flac", 44_100, 1e-3, 0.0),
    "MP3": ("mp3", "libmp3lame", 44_100, 0.02, 0.0),
    "Ogg Vorbis": ("ogg", "libvorbis", 44_100, 0.02, 0.0),
    "Ogg Opus": ("ogg", "libopus", 48_000, 0.02, 0.0),
    "AAC": ("adts", "aac", 44_100, 0.02, 0.06),
    "M4A": ("mp4", "aac", 44_100, 0.02, 0.06),
    "WebM Opus": ("webm", "libopus", 48_000, 0.02, 0.03),
    "Matroska PCM": ("matroska", "pcm_s16le", 44_100, 1e-3, 0.0),
    "AIFF": ("aiff", "pcm_s16be", 44_100, 1e-3, 0.0),
    "CAF": ("caf", "pcm_s16be", 44_100, 1e-3, 0.0),
    "AU": ("au", "pcm_s16be", 44_100, 1e-3, 0.0),
    "W64": ("w64", "pcm_s16le", 44_100, 1e-3, 0.0),
    "mu-law WAV": ("wav", "pcm_mulaw", 8_000, 0.02, 0.0),
    "A-law WAV": ("wav", "pcm_alaw", 8_000, 0.02, 0.0),
    "ADPCM WAV": ("wav", "adpcm_ima_wav", 16_000, 0.02, 0.13),
}


def tone(rate_hz: int, duration_s: float = DURATION_S) -> np.ndarray:
    """A tone that swells, so that its place in time can be told; shape (n,), float32."""
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    return (0.5 * time_s / duration_s * np.sin(2 * np.pi * TONE_HZ * time_s)).astype(np.float32)


def encoded(kind: str, sound: np.ndarray | None = None, n_channels: int = 1, rate_hz: int | None = None) -> bytes:
    """The sound of a kind of file, written by the usual encoders."""
    format_name, codec, own_rate_hz, *_ = KINDS[kind]
    rate_hz = rate_hz or own_rate_hz
    sound = tone(rate_hz) if sound is None else sound
    if kind == "Ogg Vorbis":  # PyAV has no encoder for it
        soundfile = pytest.importorskip("soundfile", reason="only a workstation has an encoder for Vorbis")
        target = io.BytesIO()
        soundfile.write(target, np.column_stack([sound] * n_channels), rate_hz, format="OGG", subtype="VORBIS")
        return target.getvalue()
    target = io.BytesIO()
    layout = "stereo" if n_channels == 2 else "mono"
    with av.open(target, "w", format=format_name) as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        pcm = np.repeat(np.round(sound * 32767).astype(np.int16), n_channels).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout=layout)
        frame.sample_rate = rate_hz
        resampler = av.AudioResampler(
            stream.format, layout, rate_hz, frame_size=stream.codec_context.frame_size or 1024
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(piece))
    return target.getvalue()


def read(path: Path, content: bytes) -> tuple[np.ndarray, int, bool, tuple[str, ...]]:
    """Samples, rate, whether it is truncated, and remarks."""
    path.write_bytes(content)
    with open_recording(path) as recording:
        sound = np.concatenate(list(recording.blocks()))
        return sound, recording.sample_rate_hz, recording.truncated, recording.remarks


def assert_is_tone(sound: np.ndarray, rate_hz: int, kind: str) -> None:
    *_, tolerance, slack_s = KINDS[kind]
    expected = tone(rate_hz)
    assert abs(len(sound) - len(expected)) <= slack_s * rate_hz + 1
    n_samples = min(len(sound), len(expected))
    envelope = [np.sqrt(np.mean(np.square(wave[: n_samples - 2000].reshape(-1)[-8000:]))) for wave in (sound, expected)]
    assert envelope[0] == pytest.approx(envelope[1], rel=0.1)
    if not slack_s:
        assert np.sqrt(np.mean(np.square(sound[:n_samples] - expected[:n_samples]))) < tolerance


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_whole_whatever_its_name_is(tmp_path: Path, kind: str, n_channels: int) -> None:
    sound, rate_hz, truncated, remarks = read(tmp_path / "a.wav", encoded(kind, n_channels=n_channels))
    assert (rate_hz, truncated, remarks) == (KINDS[kind][2], False, ())
    assert_is_tone(sound, rate_hz, kind)


@pytest.mark.parametrize("kind", ["FLAC", "MP3", "Ogg Vorbis", "Ogg Opus", "M4A", "WebM Opus", "AIFF"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_recording_that_was_cut_is_read_as_far_as_it_goes(tmp_path: Path, kind: str, share: float) -> None:
    duration_s = 20.0
    content = encoded(kind, tone(KINDS[kind][2], duration_s))
    cut = content[: int(share * len(content))]
    if kind == "M4A":  # its index comes last
        with pytest.raises(AudioError, match="its index, which is written when the recording is ended, is missing"):
            read(tmp_path / "a", cut)
        return
    sound, rate_hz, truncated, remarks = read(tmp_path / "a", cut)
    assert truncated
    assert "cut short" in remarks[0] or "damaged" in remarks[0]
    assert (share - 0.25) * duration_s < len(sound) / rate_hz < duration_s


def with_flac_length(content: bytes, n_samples: int) -> bytes:
    """A FLAC whose header declares another number of samples, in the low 36 bits of bytes 18 to 25."""
    field = int.from_bytes(content[18:26], "big") >> 36 << 36 | n_samples
    return content[:18] + field.to_bytes(8, "big") + content[26:]


@pytest.mark.parametrize(("declared", "is_cut"), [(0.0, False), (0.5, False), (1.0, False), (2.0, True)])
def test_what_is_there_counts_not_what_a_flac_declares(tmp_path: Path, declared: float, is_cut: bool) -> None:
    n_samples = round(DURATION_S * 44_100)
    content = with_flac_length(encoded("FLAC"), round(declared * n_samples))
    sound, _, truncated, remarks = read(tmp_path / "a", content)
    assert (len(sound), truncated) == (n_samples, is_cut)
    assert not is_cut or "3.0 s that it promises are not there" in remarks[0]


def without_xing(content: bytes) -> bytes:
    """An MP3 without its first frame, which declares the number of frames."""
    place = max(content.find(b"Xing"), content.find(b"Info"))
    first = content.rfind(b"\xff\xfb", 0, place)
    return content[content.find(content[first : first + 2], place) :]


def test_an_mp3_without_a_count_of_its_frames_is_read_whole(tmp_path: Path) -> None:
    loud_then_quiet = np.concatenate(
        [0.4 * np.random.default_rng(0).standard_normal(88_200).clip(-1, 1), np.zeros(441_000), tone(44_100)]
    )
    sound, rate_hz, truncated, _ = read(tmp_path / "a", without_xing(encoded("MP3", loud_then_quiet)))
    assert not truncated
    assert len(sound) / rate_hz == pytest.approx(15.0, abs=0.1)


@pytest.mark.parametrize("kind", ["FLAC", "MP3", "AAC", "Ogg Vorbis", "Ogg Opus"])
def test_joined_files_are_read_to_the_end_of_the_last(tmp_path: Path, kind: str) -> None:
    sound, rate_hz, truncated, _ = read(tmp_path / "a", 3 * encoded(kind))
    assert not truncated
    assert len(sound) / rate_hz == pytest.approx(3 * DURATION_S, abs=0.2)


def test_a_chain_whose_links_differ_is_read_at_the_rate_of_the_first(tmp_path: Path) -> None:
    chain = encoded("Ogg Vorbis") + encoded("Ogg Vorbis", rate_hz=16_000) + encoded("Ogg Opus", n_channels=2)
    sound, rate_hz, truncated, _ = read(tmp_path / "a", chain)
    assert (rate_hz, truncated) == (44_100, False)
    assert len(sound) / rate_hz == pytest.approx(3 * DURATION_S, abs=0.05)


@pytest.mark.parametrize("kind", ["FLAC", "MP3", "Ogg Opus"])
def test_damage_in_the_middle_costs_a_piece_and_is_said(tmp_path: Path, kind: str) -> None:
    content = bytearray(encoded(kind))
    middle = len(content) // 2
    content[middle : middle + 4_000] = bytes(byte ^ 0x5A for byte in content[middle : middle + 4_000])
    sound, rate_hz, truncated, remarks = read(tmp_path / "a", bytes(content))
    assert truncated
    assert "damaged" in remarks[0]
    assert 0.3 * DURATION_S < len(sound) / rate_hz < DURATION_S


@pytest.mark.parametrize("magic", [b"fLaC", b"OggS", b"ID3\x04", b"\xff\xfb\x90\x00", b"caff", b"\x1a\x45\xdf\xa3"])
def test_rubbish_behind_a_known_beginning_is_refused_in_one_sentence(tmp_path: Path, magic: bytes) -> None:
    rubbish = np.random.default_rng(0).integers(0, 256, 5_000, np.uint8).tobytes()
    with pytest.raises(AudioError, match=r"^.*/a .*\.$"):
        read(tmp_path / "a", magic + rubbish)
