"""tussis-evaluate events: people's recordings, a store, what is refused, and a run that was ended."""

import json
import os
import shutil
import signal
from functools import partial

import numpy as np
import pytest
import soundfile

from core.audio import write_wav
from core.demonstration import synthesize_demonstration
from core.screener import Screener
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore
from distill.probes.evaluate_command import main
from tests.command_lines import exit_code_of

pytestmark = pytest.mark.usefixtures("default_bundle")


run = partial(exit_code_of, main, "tussis-evaluate", "events")


@pytest.fixture
def folder(tmp_path):
    """The demonstration with two labels in a track, the same with a table, and faint noise that holds no cough."""
    folder = tmp_path / "night"
    folder.mkdir()
    for name in ("a", "b"):
        write_wav(folder / f"{name}.wav", synthesize_demonstration())
    write_wav(folder / "c.wav", 0.01 * np.random.default_rng(0).standard_normal(96_000).astype(np.float32))
    (folder / "a.txt").write_text("0.9\t1.3\tcough\n2.6\t3.0\tcough\n")
    (folder / "b.csv").write_text("start,end,label\n0.9,1.3,cough\n")
    (folder / "c.txt").write_text("")
    return folder


def test_recordings_are_measured_as_they_are_screened(capsys, tmp_path, folder, default_bundle):
    out = tmp_path / "events.json"
    assert run("--recordings", folder, "--json", out) == 0
    result = json.loads(out.read_text())
    assert result["schema"] == "tussis.event-report/1" and result["rules"]["max_event_s"] == 0.6
    total, each = result["recordings"]["total"], result["recordings"]["each"]
    assert [(row["name"], row["n_coughs"]) for row in each] == [("a.wav", 2), ("b.wav", 1), ("c.wav", 0)]
    assert each[0]["n_counted"] == Screener(default_bundle).screen(folder / "a.wav").cough_count
    assert total["n_coughs"] == 3 and total["sensitivity"]["value"] == total["n_found"] / 3
    assert (
        "recordings: 0.01 h, 3 coughs, sensitivity" in capsys.readouterr().out
        and not (tmp_path / "events.json.partial").exists()
    )


def test_bad_files_are_one_sentence_each_and_left_out_only_if_that_is_asked_for(capsys, tmp_path, folder):
    (folder / "b.csv").write_text("start,end,label\nsoon,1.4,cough\n")
    (folder / "lost.txt").write_text("1\t2\tcough\n")
    out = tmp_path / "events.json"
    assert run("--recordings", folder, "--json", out) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3 and "lost.txt has no recording" in said[0] and "column start holds 'soon'" in said[1]
    assert said[2].endswith("2 files of " + str(folder) + " are wrong; --drop leaves them out") and not out.exists()
    assert run("--recordings", folder, "--json", out, "--drop") == 0
    result = json.loads(out.read_text())["recordings"]
    assert len(result["left_out"]) == 2 and [row["name"] for row in result["each"]] == ["a.wav", "c.wav"]


def test_a_run_that_was_ended_goes_on(monkeypatch, capsys, tmp_path, folder):
    out, screen = tmp_path / "events.json", Screener.screen
    assert run("--recordings", folder, "--json", out) == 0
    whole = out.read_text()
    out.unlink()

    def killed(self, path, channel=None):
        if path.name == "c.wav":
            raise MemoryError  # as good as a kill: nobody catches it
        return screen(self, path, channel)

    monkeypatch.setattr(Screener, "screen", killed)
    monkeypatch.setattr("sys.argv", ["tussis-evaluate", "events", "--recordings", str(folder), "--json", str(out)])
    with pytest.raises(MemoryError):
        main()
    assert not out.exists() and (tmp_path / "events.json.partial").exists()
    names = []

    def noted(self, path, channel=None):
        names.append(path.name)
        return screen(self, path, channel)

    monkeypatch.setattr(Screener, "screen", noted)
    assert run("--recordings", folder, "--json", out, "--seed", 5) == 2
    assert "holds another run, or one of other settings; move it away" in capsys.readouterr().err
    assert run("--recordings", folder, "--json", out) == 0
    assert names == ["c.wav"] and out.read_text() == whole
    assert not (tmp_path / "events.json.partial").exists()


def test_a_signal_ends_the_run_behind_what_is_under_way(monkeypatch, capsys, tmp_path, folder):
    out, screen = tmp_path / "events.json", Screener.screen

    def signalled(self, path, channel=None):
        os.kill(os.getpid(), signal.SIGTERM)
        return screen(self, path, channel)

    monkeypatch.setattr(Screener, "screen", signalled)
    assert run("--recordings", folder, "--json", out) == 128 + signal.SIGTERM
    assert f"ended by SIGTERM; the same command goes on from {out}.partial" in capsys.readouterr().err
    lines = [json.loads(line) for line in (tmp_path / "events.json.partial").read_text().splitlines()]
    assert len(lines) == 3 and lines[2]["result"]["key"].startswith("a.wav ") and not out.exists()


def test_a_store_is_composed_and_both_may_be_given(capsys, tmp_path, folder):
    generator = np.random.default_rng(0)
    rows = []
    for number, label in enumerate(("cough", "noise", "speech")):
        sound = 0.03 * generator.standard_normal(48_000)
        if label == "cough":
            sound *= 0.01
            sound[20_000:25_000] *= np.linspace(300, 10, 5000)
        path = tmp_path / "data" / "pack" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_wav(path, sound.astype(np.float32))
        facts = (f"pack/{number}.wav", "pack", f"s{number}", f"s{number}", 3.0, (label,), 5, "CC0", "validation", True)
        rows.append(ManifestRow(*facts))
    WaveformStore.build(rows, tmp_path / "data", tmp_path / "store")
    out = tmp_path / "events.json"
    options = ("--store", tmp_path / "store", "--composed", 8, "--hours", 0.1, "--recordings", folder, "--json", out)
    assert run(*options) == 0
    result = json.loads(out.read_text())
    assert result["composed"]["total"]["n_recordings"] == 8 and result["composed"]["total"]["n_coughs"] > 0
    assert result["cough_free"]["total"]["hours"] == pytest.approx(0.1)
    assert [row["background"] for row in result["cough_free"]["by_background"]] == ["noise", "speech"]
    assert result["n_sources"] == {"noise": 1, "speech": 1}
    said = capsys.readouterr().out
    assert "composed, 0 to 5 dB" in said and "without a cough, speech" in said and "recordings" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "recordings or a store are needed"),
        (("--recordings", "absent"), "there is no folder absent"),
        (("--store", "absent"), "absent"),
        (("--recordings", "night", "--label", "hoest"), "has the label 'hoest'; the labels are 'cough'"),
    ],
)
def test_bad_input_is_one_sentence(monkeypatch, capsys, tmp_path, folder, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments, "--json", "out.json") == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1 and not (tmp_path / "out.json").exists()


def test_a_recording_that_breaks_off_is_refused_or_left_out(capsys, tmp_path, folder):
    soundfile.write(folder / "d.flac", synthesize_demonstration(), 16_000)
    whole = (folder / "d.flac").read_bytes()
    (folder / "d.flac").write_bytes(whole[:200] + bytes(len(whole) - 200))
    shutil.copy(folder / "a.txt", folder / "d.txt")
    assert run("--recordings", folder, "--json", tmp_path / "e.json") == 2
    assert "d.flac" in capsys.readouterr().err
    assert run("--recordings", folder, "--json", tmp_path / "e.json", "--drop") == 0
    assert len(json.loads((tmp_path / "e.json").read_text())["recordings"]["left_out"]) == 1


def test_a_label_behind_the_end_and_a_recording_without_sound_are_told(capsys, tmp_path, folder):
    (folder / "b.csv").write_text("start,end,label\n6.3,6.6,cough\n")
    write_wav(folder / "e.wav", np.zeros(0, dtype=np.float32))
    (folder / "e.txt").write_text("")
    assert run("--recordings", folder, "--json", tmp_path / "e.json") == 2
    assert "b.wav ends at 6.00 s, before its label at 6.3 s" in capsys.readouterr().err
    assert run("--recordings", folder, "--json", tmp_path / "e.json", "--drop") == 0
    left_out = json.loads((tmp_path / "e.json").read_text())["recordings"]["left_out"]
    assert len(left_out) == 2 and "e.wav" in "".join(left_out)
