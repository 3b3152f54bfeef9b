"""Recipes of the files that recorders, phones and people make; prints what was expected and what came.

``python -m tests.field_files`` prints the table and ends with 1 where something is not right; `make field-files` calls
it. `tests/core/test_field_files.py` runs the same recipes one by one. FFmpeg and sox build the files.
"""

import signal
import struct
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.field_bench import COUGH_TIMES_S, RATE_HZ, Bench, Recipe, Screened, missing_builders

N_COUGHS = len(COUGH_TIMES_S)


# ---- A and B: less heard than is there, and good recordings refused ---------------------------------------------


def _vbr_mp3_without_xing(bench: Bench) -> Screened:
    bench.sox("-n", "-r", "44100", "-b", "16", "n.wav", "synth", "2", "whitenoise", "vol", "0.4")
    bench.sox("-n", "-r", "44100", "-b", "16", "z.wav", "trim", "0", "10")
    bench.sox("B.wav", "-r", "44100", "b44.wav")
    bench.sox("n.wav", "z.wav", "b44.wav", "loud.wav")
    options = ("-c:a", "libmp3lame", "-q:a", "4", "-write_xing", "0", "-id3v2_version", "0")
    return bench.screen_file(bench.ffmpeg("1.mp3", *options, source=bench.path("loud.wav")))


def _wrapped_wav(bench: Bench) -> Screened:
    """Six hours of 48 kHz stereo, sparse, of which only the layout is read: screening them takes a minute."""
    from core.wav import read_wav_layout

    n_bytes = 2**32 + 192_000 * 20
    sizes = struct.pack("<I", (36 + n_bytes) % 2**32), struct.pack("<I", n_bytes % 2**32)
    description = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 2, 48_000, 192_000, 4, 16)
    path = bench.write("long.wav", b"RIFF" + sizes[0] + description + b"data" + sizes[1])
    with path.open("r+b") as file:
        file.truncate(44 + n_bytes)
        layout = read_wav_layout(file, path)
    path.unlink()
    return Screened(0, "", "", {"recording": {"duration_s": layout.stretches[0][1] / 48_000}})


def _with_size(size_of: Callable[[int], int]) -> Callable[[Bench], Screened]:
    def run(bench: Bench) -> Screened:
        content = bench.base.read_bytes()
        place = content.find(b"data")
        size = size_of(len(content) - place - 8) % 2**32
        changed = content[: place + 4] + struct.pack("<I", size) + content[place + 8 :]
        return bench.screen_file(bench.write("6.wav", changed))

    return run


def _with_block_length(block: int) -> Callable[[Bench], Screened]:
    def run(bench: Bench) -> Screened:
        content = bench.base.read_bytes()
        return bench.screen_file(bench.write("6.wav", content[:32] + struct.pack("<H", block) + content[34:]))

    return run


def _flac_of_length(length_of: Callable[[int], int]) -> Callable[[Bench], Screened]:
    def run(bench: Bench) -> Screened:
        content = bench.ffmpeg("b.flac").read_bytes()
        field_value = int.from_bytes(content[18:26], "big")
        n_samples = field_value % 2**36
        changed = (field_value - n_samples + length_of(n_samples)).to_bytes(8, "big")
        return bench.screen_file(bench.write("c.flac", content[:18] + changed + content[26:]))

    return run


def _encoded(name: str, *options: str) -> Callable[[Bench], Screened]:
    return lambda bench: bench.screen_file(bench.ffmpeg(name, *options))


def _piped(name: str, *options: str) -> Callable[[Bench], Screened]:
    return lambda bench: bench.screen_file(bench.piped(name, *options))


def _joined(name: str, *options: str) -> Callable[[Bench], Screened]:
    def run(bench: Bench) -> Screened:
        return bench.screen_file(bench.write(f"joined_{name}", 2 * bench.ffmpeg(name, *options).read_bytes()))

    return run


def _cut(name: str, *options: str, share: float = 0.6) -> Callable[[Bench], Screened]:
    def run(bench: Bench) -> Screened:
        content = bench.ffmpeg(name, *options).read_bytes()
        return bench.screen_file(bench.write(f"cut_{name}", content[: int(share * len(content))]))

    return run


MP3 = ("-c:a", "libmp3lame", "-b:a", "64k")
WHOLE = {"status": 0, "coughs": N_COUGHS, "duration_s": (11.95, 12.1), "truncated": False}
TWICE = {"status": 0, "coughs": 2 * N_COUGHS, "duration_s": (23.9, 24.2), "truncated": False}
CUT = {"status": 0, "coughs": (1, 3), "truncated": True, "remarked": True}
LESS_THAN_IS_THERE = [
    Recipe("A", "VBR MP3 without Xing header", _vbr_mp3_without_xing, {**WHOLE, "duration_s": (23.9, 24.1)}),
    Recipe("A", "WAV beyond 4 GiB, sizes wrapped", _wrapped_wav, {"duration_s": (2**32 + 192_000 * 20) / 192_000}),
    Recipe("A", "WAV whose header says half", _with_size(lambda n: n // 2), WHOLE),
    Recipe("A", "FLAC whose header says half", _flac_of_length(lambda n: n // 2), WHOLE),
    Recipe("A", "two WAV joined", _joined("a.wav"), TWICE),
    Recipe("A", "two MP3 joined", _joined("a.mp3", *MP3), TWICE),
    Recipe("A", "two FLAC joined", _joined("a.flac"), TWICE),
    Recipe("A", "two Ogg Vorbis chained", _joined("a.ogg", "-c:a", "libvorbis"), TWICE),
    Recipe("A", "two Ogg Opus chained", _joined("a.opus", "-ar", "48000", "-c:a", "libopus"), TWICE),
    Recipe("A", "two AAC joined", _joined("a.aac", "-c:a", "aac"), {**TWICE, "coughs": (4, 8)}),
]
REFUSED_FOR_NO_REASON = [
    Recipe("B", "WAV data size 44 too large", _with_size(lambda n: n + 44), WHOLE),
    Recipe("B", "WAV data size 0", _with_size(lambda n: 0), WHOLE),
    Recipe("B", "WAV data size -1", _with_size(lambda n: -1), WHOLE),
    Recipe("B", "WAV block length 4", _with_block_length(4), WHOLE),
    Recipe("B", "WAV block length 1", _with_block_length(1), WHOLE),
    Recipe("B", "WAV of a pipe", _piped("p.wav", "-f", "wav"), WHOLE),
    Recipe("B", "RF64 of a pipe", _piped("p.rf64", "-rf64", "always", "-f", "wav"), WHOLE),
    Recipe("B", "FLAC of a pipe", _piped("p.flac", "-f", "flac"), WHOLE),
    Recipe("B", "FLAC of unknown length", _flac_of_length(lambda n: 0), WHOLE),
    Recipe("B", "FLAC that says one sample more", _flac_of_length(lambda n: n + 1), WHOLE),
    Recipe("B", "FLAC that says twice as much", _flac_of_length(lambda n: 2 * n), {**WHOLE, "truncated": True}),
    Recipe("B", "CBR MP3 without Info header", _encoded("a.mp3", *MP3, "-write_xing", "0"), WHOLE),
    Recipe("B", "Ogg FLAC", _encoded("f.ogg", "-c:a", "flac"), WHOLE),
    Recipe("B", "Ogg Speex", _encoded("s.ogg", "-ar", "16000", "-c:a", "libspeex"), {**WHOLE, "coughs": (1, 4)}),
    Recipe("B", "AAC", _encoded("a.aac", "-c:a", "aac"), WHOLE),
    Recipe("B", "M4A", _encoded("a.m4a", "-c:a", "aac"), WHOLE),
    Recipe("B", "3GP", _encoded("a.3gp", "-c:a", "aac", "-ar", "44100"), WHOLE),
    Recipe("B", "WebM Opus", _encoded("a.webm", "-ar", "48000", "-c:a", "libopus"), WHOLE),
    Recipe("B", "WAV with mu-law", _encoded("u.wav", "-ar", "16000", "-c:a", "pcm_mulaw"), WHOLE),
    Recipe("B", "WAV cut by a flat battery", _cut("a.wav"), CUT),
    Recipe("B", "FLAC cut short", _cut("a.flac"), CUT),
    Recipe("B", "MP3 cut short", _cut("a.mp3", *MP3), CUT),
    Recipe("B", "Ogg Opus cut short", _cut("a.opus", "-ar", "48000", "-c:a", "libopus"), CUT),
    Recipe("B", "M4A that was never ended", _cut("a.m4a", "-c:a", "aac"), {"refused": True}),
]


# ---- C to F: streams, signals and outputs -----------------------------------------------------------------------


def _pcm(bench: Bench) -> bytes:
    return bench.base.read_bytes()[44:]


def _odd_byte(bench: Bench) -> Screened:
    return bench.screen("--monitor", "-", standard_input=_pcm(bench) + b"x")


def _terminated(bench: Bench) -> Screened:
    return bench.screen("--monitor", "-", standard_input=2 * _pcm(bench), signal_after_s=12.0)


def _json_over_a_recording(bench: Bench) -> Screened:
    night = bench.write("night1.wav", bench.base.read_bytes())
    screened = bench.screen("--json", "night1.wav", "B.wav")
    kept = night.read_bytes() == bench.base.read_bytes()
    return screened if kept else Screened(1, "", "the recording was overwritten")


def _dead_air(bench: Bench) -> Screened:
    return bench.screen("--monitor", "-", standard_input=_pcm(bench) + bytes(2 * RATE_HZ * 600))


def _zeros_with_a_click(bench: Bench) -> Screened:
    zeros = np.zeros(600 * RATE_HZ, np.float32)
    zeros[5_000_000:5_000_020] = 0.5
    return bench.screen("--monitor", bench.wav("zeros.wav", zeros))


def _on_standard_input(*options: str) -> Callable[[Bench], Screened]:
    def run(bench: Bench) -> Screened:
        call = ("ffmpeg", "-v", "error", "-i", str(bench.base), *options, "pipe:1")
        encoded = subprocess.run(call, check=True, stdin=subprocess.DEVNULL, capture_output=True).stdout
        return bench.screen("--monitor", "-", standard_input=encoded)

    return run


def _raw(*options: str, encoding: tuple[str, ...]) -> Callable[[Bench], Screened]:
    def run(bench: Bench) -> Screened:
        call = ("ffmpeg", "-v", "error", "-i", str(bench.base), *encoding, "pipe:1")
        encoded = subprocess.run(call, check=True, stdin=subprocess.DEVNULL, capture_output=True).stdout
        return bench.screen("--monitor", "-", *options, standard_input=encoded)

    return run


STEREO_48 = ("-ar", "48000", "-ac", "2")
HEARD = {"status": 0, "coughs": N_COUGHS, "duration_s": 12.0}
STREAMS = [
    Recipe("C", "one odd byte at the end of a stream", _odd_byte, {**HEARD, "remarked": True}),
    Recipe("C", "SIGTERM while a stream is heard", _terminated, {"status": 128 + signal.SIGTERM, "coughs": (4, 8)}),
    Recipe("D", "--json names a recording", _json_over_a_recording, {"refused": True}),
    Recipe("E", "a stream that goes dead", _dead_air, {"status": 0, "coughs": N_COUGHS, "scored_s": (11.9, 13.1)}),
    Recipe("E", "zeros with one click", _zeros_with_a_click, {"status": 0, "coughs": None, "scored_s": 0.0}),
    Recipe(
        "F", "24-bit stereo WAV on standard input",
        _on_standard_input(*STEREO_48, "-c:a", "pcm_s24le", "-f", "wav"), HEARD,
    ),
    Recipe("F", "float WAV on standard input", _on_standard_input("-c:a", "pcm_f32le", "-f", "wav"), HEARD),
    Recipe("F", "FLAC on standard input", _on_standard_input("-f", "flac"), {"refused": True}),
    Recipe("F", "Ogg on standard input", _on_standard_input("-c:a", "libvorbis", "-f", "ogg"), {"refused": True}),
    Recipe(
        "F", "raw float of 48 kHz, stereo, told so",
        _raw("--rate", "48000", "--channels", "2", "--format", "f32le", encoding=(*STEREO_48, "-f", "f32le")), HEARD,
    ),
    Recipe("F", "raw float taken for 16 bits", _raw(encoding=("-f", "f32le")), {"refused": True}),
    Recipe("F", "raw 16 bits in the other byte order", _raw(encoding=("-f", "s16be")), {"refused": True}),
]  # fmt: skip


# ---- G: hum, offset, a bad channel ------------------------------------------------------------------------------


def _spoilt(change: Callable[[np.ndarray, np.ndarray], np.ndarray], gain: float = 0.4) -> Callable[[Bench], Screened]:
    """The base with its peak at `gain`, changed by a function of it and of the time in seconds."""

    def run(bench: Bench) -> Screened:
        sound = gain * bench.sound / np.abs(bench.sound).max()
        return bench.screen_file(bench.wav("g.wav", change(sound, np.arange(len(sound)) / RATE_HZ)))

    return run


def _hum(frequency_hz: float, level: float) -> Callable[[Bench], Screened]:
    return _spoilt(lambda sound, time_s: sound + level * np.sin(2 * np.pi * frequency_hz * time_s))


def _buzz(sound: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    return sound + 0.6 * np.sign(np.sin(2 * np.pi * 100 * time_s))


def _beside_noise(sound: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    return np.column_stack([0.1 * np.random.default_rng(1).standard_normal(len(sound)), sound])


HUMS = [(50, 0.25), (50, 0.5), (60, 0.25), (100, 0.25), (120, 0.25), (150, 0.25)]
SPOILT = [
    *(Recipe("G", f"hum of {hz} Hz at {level}", _hum(hz, level), WHOLE) for hz, level in HUMS),
    Recipe("G", "a buzz that covers all", _spoilt(_buzz), {"coughs": None, "reasons": ["hum"]}),
    Recipe("G", "quiet coughs on an offset", _spoilt(lambda sound, time_s: sound + 0.6, 0.02), WHOLE),
    Recipe("G", "noise on the other channel", _spoilt(_beside_noise), {**WHOLE, "channel": "2"}),
    Recipe("G", "channels that cancel", _spoilt(lambda sound, time_s: np.column_stack([sound, -sound])), WHOLE),
]


# ---- I: names that command the terminal -------------------------------------------------------------------------


def _evil_name(bench: Bench) -> Screened:
    path = bench.path("a\033[2Jb\n  coughs      0 (no cough was heard).wav")
    path.write_bytes(b"x")
    return bench.screen(path)


RECIPES = [
    *LESS_THAN_IS_THERE,
    *REFUSED_FOR_NO_REASON,
    *STREAMS,
    *SPOILT,
    Recipe("I", "a name with escapes and line breaks", _evil_name, {"refused": True, "no_escape": True}),
]


def main() -> int:
    """Run every recipe and print the table; the exit status."""
    from rich.console import Console
    from rich.table import Table

    if missing := missing_builders():
        print(f"field files: skipped, because {' and '.join(missing)} cannot be found (Debian: apt install ffmpeg sox)")
        return 0
    table, n_wrong = Table("kind", "file", "expected", "got", ""), 0
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for recipe in RECIPES:
            screened = recipe.run(bench)
            wrong = recipe.wrong(screened)
            n_wrong += bool(wrong)
            got = {name: screened.facts[name] for name in recipe.expected}
            table.add_row(recipe.kind, recipe.name, _words(recipe.expected), _words(got), "wrong" if wrong else "right")
    Console(width=160).print(table)
    print(f"{len(RECIPES) - n_wrong} of {len(RECIPES)} are right")
    return 1 if n_wrong else 0


def _words(facts: dict[str, Any]) -> str:
    rounded = {name: round(value, 2) if isinstance(value, float) else value for name, value in facts.items()}
    return ", ".join(f"{name} {value}" for name, value in rounded.items())


if __name__ == "__main__":
    raise SystemExit(main())
