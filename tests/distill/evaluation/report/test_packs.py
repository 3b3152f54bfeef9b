"""Packs: only held-out people are asked, each label on its own, and what they share with training is known."""

import csv

import numpy as np
import pytest

from core.audio import write_wav
from core.bundle import load_bundle
from core.errors import DataError
from core.screener import Screener
from distill.corpus.manifests import build_manifest
from distill.corpus.waveform_store import WaveformStore
from distill.evaluation.report.leaks import find_shared
from distill.evaluation.report.packs import HELD_OUT, ask_packs
from distill.evaluation.report.scores import open_journal


def write_pack(folder, sounds, fold_of, sex_of=lambda i: "f"):
    rows = []
    (folder / "audio").mkdir(parents=True)
    for i, (labels, sound) in enumerate(sounds):
        write_wav(folder / "audio" / f"{i}.wav", sound)
        facts = {
            "path": f"audio/{i}.wav",
            "dataset": folder.name,
            "source_id": f"s{i}",
            "subject_id": f"{folder.name}{i}",
        }
        rest = {"duration_s": 2.0, "labels": labels, "group_fold": fold_of(i), "licence": "CC0", "flags": ""}
        rows.append({**facts, **rest, "sex": sex_of(i), "device": "phone", "native_sr": 8000})
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def data(tmp_path, coughs_in_noise):
    """A pack with twelve people, those of odd number held out, and the pack for tests with four."""
    quiet = coughs_in_noise[:14_000]
    sounds = [
        ("cough", np.roll(coughs_in_noise, i)) if i % 4 < 2 else ("noise;room", np.roll(quiet, i)) for i in range(12)
    ]
    sounds[11] = ("noise;room", np.zeros(16_000, np.float32))
    write_pack(tmp_path / "data" / "tiny", sounds, lambda i: 5 if i % 2 else 1)
    write_pack(tmp_path / "data" / "esc50_part", [*sounds[:3], ("speech", quiet)], lambda i: 1)
    return tmp_path / "data"


def ask(data, bundle, interpreter, packs=(), store=None, out=None):
    screener = Screener(load_bundle(bundle), interpreter=interpreter)
    with open_journal(out) as journal:
        return screener, ask_packs(screener, data, packs, store, journal)


def test_held_out_people_are_screened_as_people_are_and_nobody_else(data, write_bundle, energy_interpreter):
    screener, asked = ask(data, write_bundle(), energy_interpreter)
    assert [(each.name, each.part) for each in asked.questions] == [
        ("cough", HELD_OUT),
        ("cough", "esc50_part"),
        ("speech", "esc50_part"),
    ]
    items = asked.questions[0].items
    assert [item.path for item in items] == [f"tiny/audio/{i}.wav" for i in (1, 3, 5, 7, 9, 11)]
    for item in items:
        scores = screener.screen(data / item.path).event_scores
        assert item.score == (None if scores is None else scores["cough"])
    assert (items[-1].score, items[-1].unscored) == (None, "silent")
    assert items[0].covariates["sex"] == "f" and items[0].covariates["pack"] == "tiny"
    assert items[0].channel["sample_rate_before_hz"] == 8000 and items[0].channel["format"] == "wav"
    assert asked.questions[0].threshold == screener.bundle.screening.event_thresholds["cough"]


def test_equal_files_and_with_a_store_equal_sounds_are_found_on_both_sides(
    data, tmp_path, write_bundle, energy_interpreter
):
    bundle = write_bundle()
    _, asked = ask(data, bundle, energy_interpreter)
    shared = find_shared(asked.training, asked.test)
    assert shared["file"]["n_shared"] == 2 and shared["subject"]["n_shared"] == 0 and shared["sound"] is None
    assert shared["device"]["n_shared"] == 1
    WaveformStore.build(build_manifest(data), data, tmp_path / "store")
    _, asked = ask(data, bundle, energy_interpreter, store=tmp_path / "store")
    assert find_shared(asked.training, asked.test)["sound"]["n_shared"] == 2


@pytest.mark.parametrize(
    ("packs", "sentence"), [(["gone"], "has no labelled pack 'gone'"), (["only_train"], "is held out")]
)
def test_a_pack_that_is_not_there_or_was_learnt_from_is_refused(
    data, write_bundle, energy_interpreter, packs, sentence, coughs_in_noise
):
    write_pack(data / "only_train", [("cough", coughs_in_noise)], lambda i: 1)
    with pytest.raises(DataError, match=sentence):
        ask(data, write_bundle(), energy_interpreter, packs)
