import hashlib
import json
import signal
import struct
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from core.audio import write_wav
from core.bundle import Bundle
from core.demonstration import synthesize_demonstration
from core.monitoring.monitor import Monitor
from core.screen_command import main
from tests.command_lines import exit_code_of

NOISE = (0.05 * np.random.default_rng(0).normal(size=3 * 16000)).astype(np.float32)


run = partial(exit_code_of, main, "tussis-screen")


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
    facts = {"path": "standard input", "sha256": None, "duration_s": 30.0, "sample_rate_hz": 16000}
    assert facts.items() <= of_stream["recording"].items()
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


PCM = (NOISE * 32767).astype("<i2").tobytes()


def test_an_odd_byte_costs_nothing_of_the_night(tiny_bundle: Path, output: Path) -> None:
    process = pipe(PCM * 4 + b"x", "--monitor", "-", "--bundle", tiny_bundle, "--json", output)
    remark = "standard input ended within a sample; its last 1 byte(s) were dropped."
    assert (process.returncode, process.stderr.read().decode()) == (0, f"tussis-screen: {remark}\n")
    (result,) = monitored_in(output)
    assert (result["recording"]["duration_s"], result["remark"]) == (12.0, remark)
    assert "error" not in result
    assert result["totals"]["scored_s"] + result["totals"]["unscored_s"] == 12.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_stream_with_its_totals(tiny_bundle: Path, output: Path, number: signal.Signals) -> None:
    process = pipe(PCM * 4, "--monitor", "-", "--bundle", tiny_bundle, "--json", output, wait=False)
    assert process.stdout.readline() == b"standard input (monitored at 16000 Hz)\n"
    process.send_signal(number)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert b"coughs an hour" in b" ".join(said.split())
    (result,) = monitored_in(output)
    assert result["remark"] == f"{number.name} ended it."
    assert json.loads(output.read_text())["remark"].startswith(f"{number.name} ended the run; 0 recording(s)")
    assert list(output.parent.iterdir()) == [output]


def test_after_a_kill_the_journal_holds_the_stream_and_it_is_recovered_or_gone_on_with(
    tiny_bundle: Path, output: Path
) -> None:
    process = pipe(PCM * 30, "--monitor", "-", "--bundle", tiny_bundle, "--json", output, wait=False)
    journal = output.with_name("out.json.partial")
    while not (journal.exists() and b"heard_s" in journal.read_bytes()):
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert not output.exists()
    kept = journal.read_bytes()
    assert run("--recover", output) == 0
    (lost,) = monitored_in(output)
    assert lost["recording"]["path"] == "standard input"
    assert 59 <= lost["recording"]["duration_s"] <= 90
    assert lost["totals"]["cough_count"] is None
    assert "after at least" in lost["remark"]
    assert list(output.parent.iterdir()) == [output]
    journal.write_bytes(kept + b'{"heard_s": 1')  # a torn line
    assert pipe(PCM, "--monitor", "-", "--bundle", tiny_bundle, "--json", output).returncode == 0
    first, second = monitored_in(output)
    assert first == lost
    assert second["recording"]["duration_s"] == 3.0
    assert list(output.parent.iterdir()) == [output]


def test_an_error_late_in_a_recording_leaves_what_was_heard(
    tiny_bundle: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    waveform = np.tile(NOISE, 20)
    waveform[-1] = np.nan
    (tmp_path / "nan.wav").write_bytes(float_wav(waveform))
    assert run("--monitor", tmp_path / "nan.wav", "--bundle", tiny_bundle, "--json", output) == 2
    (result,) = monitored_in(output)
    assert "nan at 60.000 s" in result["error"]
    assert 49 <= result["recording"]["duration_s"] < 60
    assert result["hours"] and result["totals"]["scored_s"] + result["totals"]["unscored_s"] >= 49
    assert capsys.readouterr().err == f"tussis-screen: {result['error']}\n"


def float_wav(waveform: np.ndarray) -> bytes:
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, 16000, 64000, 4, 32)
    data = waveform.astype("<f4").tobytes()
    body = b"WAVE" + head + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def test_a_wav_on_standard_input_is_monitored_like_the_file(tiny_bundle: Path, output: Path, tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.tile(NOISE, 4), 48_000)
    assert run("--monitor", tmp_path / "a.wav", "--bundle", tiny_bundle, "--json", output) == 0
    (of_file,) = monitored_in(output)
    content = (tmp_path / "a.wav").read_bytes()
    assert pipe(content, "--monitor", "-", "--bundle", tiny_bundle, "--json", output).returncode == 0
    (of_stream,) = monitored_in(output)
    for key in ("events", "hours", "totals"):
        assert of_stream[key] == of_file[key]


def test_an_interrupted_monitoring_of_a_file_writes_nothing(
    tiny_bundle: Path, long_recording: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(listening: Monitor, block: np.ndarray) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Monitor, "push", interrupt)
    assert run("--monitor", long_recording, "--bundle", tiny_bundle, "--json", output) == 130
    assert list(output.parent.iterdir()) == []
