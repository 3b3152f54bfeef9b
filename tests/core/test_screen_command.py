import hashlib
import json
import shutil
import signal
import struct
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from core.audio import write_wav
from core.screen_command import main
from core.screener import Screener
from core.wav import WavDecoder
from tests.command_lines import exit_code_of

NOISE = (0.05 * np.random.default_rng(0).normal(size=3 * 16000)).astype(np.float32)


run = partial(exit_code_of, main, "tussis-screen")


def recordings_in(output: Path) -> list[dict]:
    content = json.loads(output.read_text())
    assert content["schema"] == "tussis.screening/1"
    return content["recordings"]


def test_a_recording_is_described_and_written(
    tiny_bundle: Path, recording: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recording, "--bundle", tiny_bundle, "--json", output) == 0
    said = capsys.readouterr()
    assert str(recording) in said.out
    assert "Demonstration only: fitted on synthetic sound. It says nothing about this person." in said.out
    assert said.err == ""
    (result,) = recordings_in(output)
    assert result["recording"]["path"] == str(recording)
    assert result["recording"]["sha256"] == hashlib.sha256(recording.read_bytes()).hexdigest()
    assert result["model"]["sha256"] == hashlib.sha256((tiny_bundle / "model.tflite").read_bytes()).hexdigest()
    assert set(result["event_scores"]) == set(
        json.loads((tiny_bundle / "bundle.json").read_text())["model"]["event_labels"]
    )
    assert list(output.parent.iterdir()) == [output]


def test_a_bad_input_is_reported_in_its_place_and_the_others_are_screened(
    tiny_bundle: Path, recording: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone.wav"
    (tmp_path / "text.wav").write_text("this is not sound, it only says so in its name")
    inputs = [recording, gone, tmp_path / "text.wav", tmp_path, recording]
    assert run(*inputs, "--bundle", tiny_bundle, "--json", output) == 2
    results = recordings_in(output)
    assert [result["recording"]["path"] for result in results] == [str(path) for path in inputs]
    assert ["error" in result for result in results] == [False, True, True, True, False]
    assert set(results[1]) == {"recording", "error"}
    assert str(gone) in results[1]["error"]
    said = capsys.readouterr().err.splitlines()
    assert said == [f"tussis-screen: {result['error']}" for result in results[1:4]]
    for first, second in (("event_scores", "quality"), ("events", "probes")):
        assert (results[0][first], results[0][second]) == (results[4][first], results[4][second])


def wav(samples: np.ndarray, rate_hz: int = 16000, channels: int = 1, announced_bytes: int | None = None) -> bytes:
    """A float WAV file, byte by byte, with whatever its header is told to say."""
    data = samples.astype("<f4").tobytes()
    size = len(data) if announced_bytes is None else announced_bytes
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, channels, rate_hz, rate_hz * 4 * channels, 4 * channels, 32)
    body = b"WAVE" + head + struct.pack("<4sI", b"data", size) + data
    return struct.pack("<4sI", b"RIFF", len(body) + size - len(data)) + body


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"RIFF", ""),
        (wav(NOISE[:0]), "no samples"),
        (wav(np.array([0.1, np.nan] * 8000)), "nan"),
        (wav(np.array([0.1, np.inf] * 8000)), "inf"),
        (wav(NOISE, rate_hz=100), "100 Hz"),
        (wav(NOISE, rate_hz=1_000_000), "1000000 Hz"),
        (wav(NOISE[:9000], channels=9), "9 channels"),
    ],
)
def test_a_file_that_is_no_usable_recording_gets_one_sentence(
    tiny_bundle: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, word: str
) -> None:
    (tmp_path / "bad.wav").write_bytes(content)
    assert run(tmp_path / "bad.wav", "--bundle", tiny_bundle, "--json", output) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert str(tmp_path / "bad.wav") in said.err
    assert word in said.err
    assert said.err == f"tussis-screen: {recordings_in(output)[0]['error']}\n"


def test_a_usable_recording_made_the_same_way_is_screened(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "good.wav").write_bytes(wav(NOISE))
    assert run(tmp_path / "good.wav", "--bundle", tiny_bundle) == 0


def test_an_interrupted_screening_writes_nothing(
    tiny_bundle: Path, recording: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(screener: Screener, path: str, channel: int | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Screener, "screen", interrupt)
    assert run(recording, "--bundle", tiny_bundle, "--json", output) == 130
    assert list(output.parent.iterdir()) == []


def test_the_results_are_written_even_when_every_input_fails(tiny_bundle: Path, output: Path, tmp_path: Path) -> None:
    assert run(tmp_path / "gone.wav", "--bundle", tiny_bundle, "--json", output) == 2
    assert ["error" in result for result in recordings_in(output)] == [True]


def test_silence_is_said_to_be_not_scored(
    tiny_bundle: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_wav(tmp_path / "silence.wav", np.zeros(48000, np.float32))
    assert run(tmp_path / "silence.wav", "--bundle", tiny_bundle, "--json", output) == 0
    said = capsys.readouterr().out
    assert "not scored: silent" in said
    assert "no cough" not in said
    (result,) = recordings_in(output)
    assert (result["event_scores"], result["cough_count"], result["events"]) == (None, None, [])
    assert result["quality"]["acceptable"] is False


def test_an_output_that_cannot_be_written_is_refused_before_any_screening(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for output in (tmp_path / "no_folder" / "out.json", tmp_path, Path("/proc/out.json")):
        assert run(recording, "--bundle", tmp_path / "also_gone", "--json", output) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("tussis-screen: ")
        assert str(output) in said.err
        assert said.err.count("\n") == 1


def test_a_recording_is_never_overwritten_by_its_results(
    tiny_bundle: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = recording.read_bytes()
    assert run(recording, "--bundle", tiny_bundle, "--json", recording) == 2
    assert "is one of the recordings; --json would overwrite it" in capsys.readouterr().err
    assert recording.read_bytes() == before


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "model.tflite").write_bytes(b"altered"), "model.tflite was altered"),
        (lambda folder: (folder / "bundle.json").write_text('{"format_version": 2}'), "bundle format version 2"),
        (lambda folder: (folder / "probes" / "tb.json").unlink(), "tb.json is missing"),
        (lambda folder: shutil.rmtree(folder), "no such bundle folder"),
    ],
)
def test_a_bundle_that_cannot_be_trusted_ends_the_command_before_anything_is_written(
    tiny_bundle: Path, recording: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    damage: object, sentence: str,
) -> None:  # fmt: skip
    folder = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    damage(folder)
    assert run(recording, "--bundle", folder, "--json", output) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert list(output.parent.iterdir()) == []


@pytest.mark.parametrize("threads", ["0", "65", "-1", "two", "1.5", "", "²", "9" * 5000])
def test_an_impossible_number_of_threads_is_refused(
    recording: Path, threads: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recording, f"--threads={threads}") == 2
    assert "expected 1 to 64" in capsys.readouterr().err


def test_no_recording_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 2
    assert "usage: tussis-screen" in capsys.readouterr().err


def test_help_gives_units_defaults_and_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    said = capsys.readouterr().out
    for words in ("4000 to 384000 Hz", "default: 1", "tussis-screen cough.wav", "exit status"):
        assert words in said


def test_the_command_runs_as_its_own_process_and_says_nothing_on_stderr(
    tiny_bundle: Path, recording: Path, output: Path
) -> None:
    command = [sys.executable, "-m", "core.screen_command", recording, "--bundle", tiny_bundle, "--json", output]
    root = Path(__file__).parents[2]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "coughs" in ended.stdout
    assert len(recordings_in(output)) == 1


def test_a_reader_that_went_away_does_not_keep_the_results_from_being_written(
    tiny_bundle: Path, recording: Path, output: Path
) -> None:
    options = f"'{recording}' '{recording}' --bundle '{tiny_bundle}' --json '{output}'"
    command = f"'{sys.executable}' -m core.screen_command {options}"
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        ["bash", "-c", f"{command} | true; exit ${{PIPESTATUS[0]}}"], cwd=root, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert len(recordings_in(output)) == 2


def started(*arguments: object, **pipes: object) -> subprocess.Popen:
    command = [sys.executable, "-m", "core.screen_command", *(str(argument) for argument in arguments)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE, **pipes)


def read_results(process: subprocess.Popen, n_results: int) -> None:
    """Read on until so many results have been printed."""
    while n_results:
        n_results -= process.stdout.readline().startswith(b"  bundle ")


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_among_many_recordings_leaves_those_that_were_screened(
    tiny_bundle: Path, output: Path, tmp_path: Path, number: signal.Signals
) -> None:
    paths = [tmp_path / f"{n}.wav" for n in range(400)]
    for path in paths:
        write_wav(path, NOISE)
    with started(*paths, "--bundle", tiny_bundle, "--json", output, stdout=subprocess.PIPE) as process:
        read_results(process, 130)
        process.send_signal(number)
        process.stdout.read()
        complaint = process.stderr.read().decode()
        assert process.wait(60) == 128 + number
    results = recordings_in(output)
    assert 130 <= len(results) < 400
    assert [result["recording"]["path"] for result in results] == [str(path) for path in paths[: len(results)]]
    remark = json.loads(output.read_text())["remark"]
    assert remark == f"{number.name} ended the run; {400 - len(results)} recording(s) were not heard."
    assert complaint == f"tussis-screen: {remark}\n"
    assert list(output.parent.iterdir()) == [output]


@pytest.mark.long
def test_after_a_kill_the_same_command_goes_on_and_gives_what_one_run_gives(
    tiny_bundle: Path, output: Path, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{n}.wav" for n in range(60)]
    for number, path in enumerate(paths):
        write_wav(path, NOISE * (number + 1) / 60)
    arguments = (*paths, "--bundle", tiny_bundle, "--json", output)
    with started(*arguments, stdout=subprocess.PIPE) as process:
        read_results(process, 20)
        process.kill()
    assert not output.exists()
    write_wav(paths[3], NOISE[:32000])  # changed since
    with started(*arguments, stdout=subprocess.PIPE) as process:
        said = process.stdout.read().decode()
    assert process.returncode == 0
    assert 15 <= said.count(": heard before; its result is taken from") < 60
    gone_on = recordings_in(output)
    assert run(*arguments) == 0
    for result in (whole := recordings_in(output)) + gone_on:
        del result["timing_ms"]
    assert gone_on == whole
    assert list(output.parent.iterdir()) == [output]


@pytest.mark.parametrize("stream", [1, 2])
@pytest.mark.parametrize("state", ["full", "closed"])
def test_a_stream_that_fails_never_costs_the_results(
    tiny_bundle: Path, recording: Path, output: Path, stream: int, state: str
) -> None:
    redirected = f"{stream}>/dev/full" if state == "full" else f"{stream}>&-"
    options = f"'{recording}' gone.wav '{recording}' --bundle '{tiny_bundle}' --json '{output}'"
    command = f"'{sys.executable}' -m core.screen_command {options} {redirected}"
    ended = subprocess.run(["bash", "-c", command], cwd=Path(__file__).parents[2], capture_output=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == (b"" if stream == 2 else b"tussis-screen: gone.wav does not exist.\n")
    assert len(recordings_in(output)) == 3


def test_a_read_error_in_the_middle_leaves_what_was_heard_and_the_others_are_screened(
    tiny_bundle: Path, recording: Path, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    write_wav(tmp_path / "long.wav", np.tile(NOISE, 20))
    read, calls = WavDecoder.read, []

    def broken(decoder: WavDecoder, n_frames: int) -> np.ndarray:
        calls.append(n_frames)
        if len(calls) == 3:
            raise OSError(5, "Input/output error")
        return read(decoder, n_frames)

    monkeypatch.setattr(WavDecoder, "read", broken)
    assert run(tmp_path / "long.wav", recording, "--bundle", tiny_bundle, "--json", output) == 2
    part, whole = recordings_in(output)
    assert part["error"] == f"{tmp_path / 'long.wav'} cannot be read: Input/output error."
    assert 30 <= part["recording"]["duration_s"] < 40
    assert part["event_scores"] is not None
    assert "error" not in whole
    said = capsys.readouterr()
    assert said.err == f"tussis-screen: {part['error']}\n"
    assert "  incomplete  " in said.out


def test_a_name_never_commands_the_terminal(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "a\x1b[2Jb\n  coughs      0 (no cough was heard)\u202e.wav"
    (tmp_path / name).write_bytes(b"no sound")
    write_wav(tmp_path / f"good {name}", NOISE)
    assert run(tmp_path / name, tmp_path / f"good {name}", f"--{name}", "--bundle", tiny_bundle) == 2
    assert run(tmp_path / name, tmp_path / f"good {name}", "--bundle", tiny_bundle) == 2
    said = capsys.readouterr()
    for stream in (said.out, said.err):
        assert all(line.isprintable() for line in stream.split("\n"))
        assert "\\x1b[2Jb\\n  coughs      0 (no cough was heard)\\u202e.wav" in stream
    assert said.err.count("\n") < 14


def test_no_usable_temporary_folder_is_no_obstacle(
    tiny_bundle: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile._get_default_tempdir", none)
    monkeypatch.setattr("tempfile.tempdir", None)
    assert run(recording, "--bundle", tiny_bundle) == 0


def test_standard_input_is_screened_like_the_file(tiny_bundle: Path, recording: Path, output: Path) -> None:
    assert run(recording, "--bundle", tiny_bundle, "--json", output) == 0
    (of_file,) = recordings_in(output)
    with recording.open("rb") as file, started("-", "--bundle", tiny_bundle, "--json", output, stdin=file) as process:
        assert process.wait(60) == 0
    (of_stream,) = recordings_in(output)
    assert of_stream["recording"] == {**of_file["recording"], "path": "standard input", "sha256": None}
    assert (of_stream["events"], of_stream["event_scores"]) == (of_file["events"], of_file["event_scores"])


@pytest.mark.parametrize("content", [b"anything", b'{"schema": "tussis.evaluation/1"}', b'{"a": 1}', b"\0" * 100])
def test_no_other_file_is_overwritten_by_the_results(
    tiny_bundle: Path, recording: Path, output: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    output.write_bytes(content)
    assert run(recording, "--bundle", tiny_bundle, "--json", output) == 2
    assert "exists and is not a result of this command" in capsys.readouterr().err
    assert output.read_bytes() == content


def test_recordings_bundles_and_keys_are_never_overwritten(
    tiny_bundle: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, link = tmp_path / "other.wav", tmp_path / "link.json"
    write_wav(other, NOISE)
    link.symlink_to(other)
    bundle, keys = shutil.copytree(tiny_bundle, tmp_path / "bundle"), tmp_path / "keys.pub"
    keys.write_text("ssh-ed25519 AAAA somebody\n")
    for target in (other, link, bundle / "bundle.json", bundle / "model.tflite", keys, tmp_path):
        before = target.read_bytes() if target.is_file() else b""
        assert run("--json", target, recording, "--bundle", bundle) == 2
        assert not before or target.read_bytes() == before
        assert capsys.readouterr().err.count("\n") == 1


def test_an_empty_file_and_an_earlier_result_are_replaced_and_a_dash_is_standard_output(
    tiny_bundle: Path, recording: Path, output: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    output.write_bytes(b"")
    for _ in range(2):
        assert run(recording, "--bundle", tiny_bundle, "--json", output) == 0
    capfdbinary.readouterr()
    assert run(recording, "--bundle", tiny_bundle, "--json", "-") == 0
    said = capfdbinary.readouterr()
    assert len(json.loads(said.out)["recordings"]) == 1
    assert b"coughs" in said.err
