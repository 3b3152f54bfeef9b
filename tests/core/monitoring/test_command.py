import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.audio import write_wav
from core.bundle import Bundle
from core.demonstration import synthesize_demonstration
from core.monitoring.monitor import Monitor
from core.screen_command import main

NOISE = (0.05 * np.random.default_rng(0).normal(size=3 * 16000)).astype(np.float32)


def run(*arguments: object) -> int:
    """The command in this process; its exit status however it ends."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1


@pytest.fixture
def long_recording(tmp_path: Path) -> Path:
    """Half a minute of faint noise with the demonstration's three coughs from 20 s on."""
    waveform = (0.0008 * np.random.default_rng(0).normal(size=30 * 16000)).astype(np.float32)
    waveform[20 * 16000 : 26 * 16000] += synthesize_demonstration()
    write_wav(tmp_path / "long.wav", waveform)
    return tmp_path / "long.wav"


def monitored_in(output: Path) -> list[dict]:
    content = json.loads(output.read_text())
    assert content["schema"] == "tussis.monitoring/1"
    return content["recordings"]


def pipe(content: bytes, *arguments: object, wait: bool = True) -> subprocess.Popen:
    """The command as a process with `content` on its standard input, which stays open unless `wait`."""
    command = [sys.executable, "-m", "core.screen_command", *(str(argument) for argument in arguments)]
    root, pipes = Path(__file__).parents[3], {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, **pipes)
    process.stdin.write(content)
    process.stdin.flush()
    if wait:
        process.stdin.close()
        process.wait(timeout=120)
    return process


def test_a_long_recording_is_monitored_cough_by_cough(
    default_bundle: Bundle, long_recording: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--monitor", long_recording, "--json", output) == 0
    said = capsys.readouterr()
    assert said.err == ""
    (result,) = monitored_in(output)
    coughs = [event for event in result["events"] if event["label"] == "cough"]
    assert coughs and said.out.count("  cough       00:2") == len(coughs)
    assert result["totals"]["cough_count"] == result["totals"]["event_counts"]["cough"] == len(coughs)
    assert result["totals"]["coughs_per_hour"] == pytest.approx(120 * len(coughs))
    assert result["totals"]["n_clips_run"] + result["totals"]["n_clips_gated"] == 57
    assert 0.3 < result["totals"]["gated_share"] < 0.9
    assert (result["hop_s"], len(result["hours"]), result["gate"]["open_db"]) == (0.5, 1, 5.0)
    assert result["recording"]["sha256"] == hashlib.sha256(long_recording.read_bytes()).hexdigest()
    assert result["model"]["sha256"] == default_bundle.model_sha256
    assert result["busy_ms_per_audio_hour"] > 0
    assert "left out, because nothing in them stood out" in " ".join(said.out.split())
    assert list(output.parent.iterdir()) == [output]


def test_without_the_gate_every_clip_is_run_at_the_hop_that_is_asked_for(
    tiny_bundle: Path, long_recording: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--no-gate", "--hop-s", 1, "--bundle", tiny_bundle, "--json", output)
    assert run("--monitor", long_recording, *arguments) == 0
    (result,) = monitored_in(output)
    assert (result["totals"]["n_clips_run"], result["totals"]["n_clips_gated"]) == (29, 0)
    assert (result["gate"], result["hop_s"]) == (None, 1.0)
    assert "29 run, one every 1 s; no gate" in capsys.readouterr().out


def test_standard_input_is_heard_like_the_file_with_the_same_samples(
    tiny_bundle: Path, long_recording: Path, output: Path
) -> None:
    assert run("--monitor", long_recording, "--bundle", tiny_bundle, "--json", output) == 0
    (of_file,) = monitored_in(output)
    samples = long_recording.read_bytes()[44:]
    process = pipe(samples, "--monitor", "-", "--bundle", tiny_bundle, "--json", output)
    assert (process.returncode, process.stderr.read()) == (0, b"")
    (of_stream,) = monitored_in(output)
    assert of_stream["recording"] == {
        "path": "standard input", "sha256": None, "duration_s": 30.0, "sample_rate_hz": 16000,
        "n_channels": 1, "channel": "1", "truncated": False, "remarks": [],
    }  # fmt: skip
    for key in ("events", "hours", "totals"):
        assert of_stream[key] == of_file[key]


def test_an_interrupt_ends_standard_input_and_the_totals_are_given(tiny_bundle: Path, output: Path) -> None:
    samples = (NOISE * 32767).astype("<i2").tobytes()
    process = pipe(samples * 4, "--monitor", "-", "--bundle", tiny_bundle, "--json", output, wait=False)
    assert process.stdout.readline() == b"standard input (monitored at 16000 Hz)\n"
    process.send_signal(signal.SIGINT)
    said, complaint = process.communicate(timeout=120)
    assert (process.returncode, complaint) == (0, b"")
    assert b"coughs an hour" in b" ".join(said.split())
    assert len(monitored_in(output)) == 1


@pytest.mark.parametrize(
    ("content", "arguments", "sentence"),
    [
        (b"", (), "standard input holds no samples; expected sound."),
        (b"abc", (), "standard input ends within a sample; expected signed 16-bit little-endian PCM."),
        (b"abcd", ("--pcm-hz", 0), "standard input has a sample rate of 0 Hz; expected 4000 to 384000 Hz."),
    ],
)
def test_standard_input_that_is_no_sound_gets_one_sentence(
    tiny_bundle: Path, content: bytes, arguments: tuple, sentence: str
) -> None:
    process = pipe(content, "--monitor", "-", "--bundle", tiny_bundle, *arguments)
    assert process.returncode == 2
    assert process.stderr.read().decode() == f"tussis-screen: {sentence}\n"


def test_a_bad_input_is_reported_in_its_place_and_the_others_are_monitored(
    tiny_bundle: Path, recording: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--monitor", tmp_path / "gone.wav", recording, "--bundle", tiny_bundle, "--json", output) == 2
    failed, monitored = monitored_in(output)
    assert failed == {"recording": {"path": str(tmp_path / "gone.wav")}, "error": failed["error"]}
    assert monitored["recording"]["duration_s"] == 3.0
    assert capsys.readouterr().err == f"tussis-screen: {failed['error']}\n"


def test_silence_is_monitored_as_not_scored(
    tiny_bundle: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_wav(tmp_path / "silence.wav", np.zeros(160_000, np.float32))
    assert run("--monitor", tmp_path / "silence.wav", "--bundle", tiny_bundle, "--json", output) == 0
    assert "hour 1      not scored: silent" in capsys.readouterr().out
    (result,) = monitored_in(output)
    assert (result["totals"]["cough_count"], result["totals"]["unscored_s"]) == (None, 10.0)
    assert result["hours"][0]["event_counts"] is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--monitor", "--hop-s", "3"), "the hop is 3 s; expected more than 0 and at most 2 s"),
        (("--monitor", "--hop-s", "nan"), "the hop is nan s; expected more than 0"),
        (("--monitor", "--hop-s", "0.01"), "the hop is 0.01 s; expected at least a frame, 0.04 s"),
        (("--hop-s", "1"), "--hop-s is for --monitor, which was not given."),
        (("--no-gate",), "--gate/--no-gate is for --monitor, which was not given."),
        (("-", "-", "--monitor"), "- was given more than once; standard input can be read only once."),
        (("-",), "- does not exist."),
    ],
)
def test_options_of_monitoring_that_make_no_sense_are_refused(
    tiny_bundle: Path, recording: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    assert run(recording, *arguments, "--bundle", tiny_bundle) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.count("\n") == 1


def test_an_interrupted_monitoring_of_a_file_writes_nothing(
    tiny_bundle: Path, long_recording: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(listening: Monitor, block: np.ndarray) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Monitor, "push", interrupt)
    assert run("--monitor", long_recording, "--bundle", tiny_bundle, "--json", output) == 130
    assert list(output.parent.iterdir()) == []
