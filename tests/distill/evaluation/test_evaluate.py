"""Evaluation: what the numbers are made of, that the screener makes them, and that a pack is measured whole."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.audio import write_wav
from core.bundle import load_bundle
from core.errors import AudioError, DataError
from core.screener import Screener
from distill.corpus.manifests import ManifestRow
from distill.evaluation.evaluate import ScoredRecording, evaluate_bundle, main, measure, negative_class
from distill.evaluation.metrics import auroc

SHARED_DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
LABELS = ("cough", "speech", "cry")


def recording(labels, cough, subject, speech=0.0):
    row = ManifestRow(f"pack/{subject}.wav", "pack", subject, subject, 1.0, labels, 1, "CC0", "test", True)
    return ScoredRecording(row, None if cough is None else {"cough": cough, "speech": speech, "cry": 0.0}, None)


RECORDINGS = [
    recording(("cough",), 0.9, "a"),
    recording(("cough",), 0.4, "b"),
    recording(("cough",), None, "c"),
    recording(("noise", "door"), 0.5, "d"),
    recording(("noise", "door"), 0.1, "e"),
    recording(("speech",), 0.2, "f", speech=0.8),
    recording(("noise", "children_playing"), None, "g"),
]


def test_unscored_recordings_rank_lowest_and_are_told_apart():
    measured = measure(RECORDINGS, LABELS, 0.5)
    cough = measured["labels"]["cough"]
    assert (measured["n"], measured["n_unscored"]) == (7, 2)
    assert (cough["n"], cough["n_positive"], cough["n_unscored"]) == (7, 3, 2)
    assert cough["auroc_unscored_lowest"]["value"] == pytest.approx((4 + 3 + 0.5) / 12)
    assert cough["auroc_scored_only"]["value"] == pytest.approx(5 / 6)
    assert cough["auroc_scored_only"]["n"] == 5


def test_an_unscored_cough_is_missed_and_an_unscored_noise_is_no_alarm():
    measured = measure(RECORDINGS, LABELS, 0.5)
    assert measured["cough_sensitivity"]["value"] == pytest.approx(1 / 3)
    assert measured["cough_false_alarm_rate"]["value"] == pytest.approx(1 / 4)
    assert measured["false_alarms_by_class"] == {
        "children_playing": {"n": 1, "n_unscored": 1, "n_false_alarms": 0, "rate": 0.0},
        "door": {"n": 2, "n_unscored": 0, "n_false_alarms": 1, "rate": 0.5},
        "speech": {"n": 1, "n_unscored": 0, "n_false_alarms": 0, "rate": 0.0},
    }


def test_a_label_that_the_pack_lacks_is_named_and_not_measured():
    measured = measure(RECORDINGS, LABELS, 0.5)
    assert set(measured["labels"]) == {"cough", "speech"} and measured["labels_absent"] == ["cry"]


def test_playing_children_are_neither_speech_nor_its_absence():
    speech = measure(RECORDINGS, LABELS, 0.5)["labels"]["speech"]
    assert (speech["n"], speech["n_undecided"], speech["n_positive"]) == (6, 1, 1)


def test_a_negative_is_called_what_the_pack_calls_it():
    assert negative_class(RECORDINGS[3].row) == "door"
    assert negative_class(RECORDINGS[5].row) == "speech"
    assert negative_class(recording(("noise",), 0.1, "h").row) == "noise"


@pytest.fixture
def pack(tmp_path, coughs_in_noise):
    """A data folder with one pack: three coughs, three quiet noises, one silence."""
    folder = tmp_path / "data" / "tiny_pack"
    (folder / "audio").mkdir(parents=True)
    quiet = coughs_in_noise[:14_000]
    rows = []
    for i in range(7):
        sound = coughs_in_noise if i < 3 else np.roll(quiet, i) if i < 6 else np.zeros(32_000, dtype=np.float32)
        write_wav(folder / "audio" / f"{i}.wav", sound)
        facts = {"path": f"audio/{i}.wav", "dataset": "tiny_pack", "source_id": f"s{i}", "subject_id": f"p{i}"}
        labels = "cough" if i < 3 else "noise;room"
        rows.append({**facts, "duration_s": 2.0, "labels": labels, "group_fold": 1, "licence": "CC0", "flags": ""})
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "data"


def test_a_pack_is_scored_by_the_screener_itself(pack, write_bundle, energy_interpreter):
    screener = Screener(load_bundle(write_bundle()), interpreter=energy_interpreter)
    result = evaluate_bundle(screener, pack, "tiny_pack")
    assert (result["schema"], result["n"], result["n_unscored"]) == ("tussis.evaluation/1", 7, 1)
    assert result["model_sha256"] == screener.bundle.model_sha256
    for measured in result["recordings"]:
        screening = screener.screen(pack / measured["path"])
        assert measured["event_scores"] == screening.event_scores
        assert measured["cough_count"] == screening.cough_count
    scores = [measured["event_scores"]["cough"] for measured in result["recordings"] if measured["event_scores"]]
    expected = auroc(scores, [True] * 3 + [False] * 3)
    assert result["labels"]["cough"]["auroc_scored_only"]["value"] == expected == 1.0


@pytest.mark.parametrize("name", ["tiny_pack", "another"])
def test_a_pack_that_the_bundle_learnt_from_is_named(pack, write_bundle, energy_interpreter, capsys, name):
    bundle = replace(load_bundle(write_bundle()), provenance={"packs": [{"name": name}, "x", {"name": []}]})
    evaluate_bundle(Screener(bundle, interpreter=energy_interpreter), pack, "tiny_pack")
    said = "the bundle learnt from 7 of these 7 recordings" in capsys.readouterr().err
    assert said == (name == "tiny_pack")


def test_labels_in_other_words_are_measured_as_coughs(pack, write_bundle, energy_interpreter, capsys):
    screener = Screener(load_bundle(write_bundle()), interpreter=energy_interpreter)
    expected = evaluate_bundle(screener, pack, "tiny_pack")["labels"]
    manifest = pack / "tiny_pack" / "manifest.csv"
    text = manifest.read_text().replace(",", ";").replace(";cough;", ";Coughing;").replace("noise;room", "Noise, Room")
    manifest.write_bytes(text.encode("utf-16"))
    assert evaluate_bundle(screener, pack, "tiny_pack")["labels"] == expected
    assert "the labels 'Coughing' are taken as 'cough'" in capsys.readouterr().err


def test_an_unknown_pack_is_refused_with_the_known_ones(pack, write_bundle, energy_interpreter):
    screener = Screener(load_bundle(write_bundle()), interpreter=energy_interpreter)
    with pytest.raises(DataError, match="no labelled pack 'esc50_part'; it has tiny_pack"):
        evaluate_bundle(screener, pack, "esc50_part")


def test_a_pack_with_an_unreadable_recording_is_not_measured(pack, write_bundle, energy_interpreter):
    (pack / "tiny_pack" / "audio" / "4.wav").write_bytes(b"")
    screener = Screener(load_bundle(write_bundle()), interpreter=energy_interpreter)
    with pytest.raises(AudioError, match=r"4\.wav"):
        evaluate_bundle(screener, pack, "tiny_pack")


def test_the_command_writes_its_result_and_prints_a_table(pack, tmp_path, tiny_bundle, monkeypatch, capsys):
    out = tmp_path / "evaluation.json"
    arguments = ["--bundle", str(tiny_bundle), "--data", str(pack), "--pack", "tiny_pack", "--json", str(out)]
    arguments += ["--float", str(tiny_bundle / "model.tflite")]
    monkeypatch.setattr("sys.argv", ["tussis-evaluate", *arguments])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 0
    result = json.loads(out.read_text())
    assert result["labels"]["cough"]["n_positive"] == 3
    assert result["float_model"]["cough_auroc"] == result["labels"]["cough"]["auroc_unscored_lowest"]
    assert result["float_model"]["cough_auroc_loss"] == 0
    printed = capsys.readouterr().out
    assert "unscored: 1 of 7 recordings" in printed and "cough sensitivity at the shipped threshold" in printed


def test_the_command_writes_nothing_when_it_refuses(pack, tmp_path, tiny_bundle, monkeypatch, capsys):
    out = tmp_path / "evaluation.json"
    arguments = ["--bundle", str(tiny_bundle), "--data", str(pack), "--pack", "absent", "--json", str(out)]
    monkeypatch.setattr("sys.argv", ["tussis-evaluate", *arguments])
    with pytest.raises(SystemExit) as refused:
        main()
    assert refused.value.code == 2 and not out.exists()
    assert "no labelled pack 'absent'" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the recordings in ../shared/data are not here")
def test_the_shipped_bundle_tells_coughs_from_the_rest_of_the_test_pack(default_bundle):
    result = evaluate_bundle(Screener(default_bundle), SHARED_DATA, "esc50_part")
    cough = result["labels"]["cough"]
    assert result["roles"] == ["test"] and (cough["n"], cough["n_positive"]) == (235, 40)
    assert cough["auroc_unscored_lowest"]["value"] >= 0.95
