import csv
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import DataError
from distill.corpus.labels import event_labels_of
from distill.corpus.manifests import (
    build_manifest,
    packs_used,
    read_manifest,
    summarize,
    with_fewer_train_subjects,
    write_manifest,
)
from distill.corpus.tables import table_text

SHARED_DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
COLUMNS = ["path", "dataset", "source_id", "subject_id", "duration_s", "labels", "group_fold", "licence", "flags"]


def write_pack(root: Path, name: str, records: list[dict[str, str]]) -> None:
    folder = root / name
    folder.mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for record in records:
            writer.writerow({"duration_s": "2.0", "licence": "CC0", "dataset": name, **record})


def recording(
    number: int, subject: str, fold: int | None = 1, labels: str = "cough", flags: str = ""
) -> dict[str, str]:
    return {
        "path": f"audio/{number}.opus",
        "source_id": f"source{number}",
        "subject_id": subject,
        "group_fold": str(fold or ""),
        "labels": labels,
        "flags": flags,
    }


def test_a_subject_of_the_validation_fold_is_nowhere_in_train(tmp_path):
    write_pack(tmp_path, "coughs", [recording(1, "anna", 5), recording(2, "ben", 1)])
    write_pack(tmp_path, "unlabelled", [recording(3, "anna", None, ""), recording(4, "carl", None, "")])
    roles = {row.source_id: row.role for row in build_manifest(tmp_path)}
    assert roles == {"coughs:source1": "validation", "coughs:source2": "train", "unlabelled:source4": "train"}


def test_a_source_of_the_test_pack_is_dropped_everywhere_else(tmp_path):
    write_pack(tmp_path, "esc50_part", [recording(1, "freesound7", 2)])
    write_pack(
        tmp_path, "noises", [recording(2, "freesound7", 5), recording(3, "freesound7", 1), recording(4, "other")]
    )
    roles = sorted((row.pack, row.role) for row in build_manifest(tmp_path))
    assert roles == [("esc50_part", "test"), ("noises", "train")]


def test_a_pack_without_known_subjects_stays_on_one_side(tmp_path):
    write_pack(tmp_path, "keywords", [recording(1, "", 5, "speech"), recording(2, "", 1, "speech")])
    assert {row.role for row in build_manifest(tmp_path)} == {"train"}


def manifest_with(root, **cells):
    write_pack(root, "coughs", [recording(1, "anna") | cells, recording(2, "ben")])
    return root / "coughs" / "manifest.csv"


@pytest.mark.parametrize(
    "labels", ["Cough", "coughing", "cough, speech", "cough|speech", " COUGH /Talking", "baby cough"]
)
def test_a_cough_in_other_words_is_a_cough_and_that_is_said(tmp_path, capsys, labels):
    manifest_with(tmp_path, labels=labels)
    assert event_labels_of(build_manifest(tmp_path)[0].labels) >= {"cough"}
    assert f"the labels {labels.strip()!r} are taken as 'cough" in capsys.readouterr().err


@pytest.mark.parametrize("labels", ["no_cough", "Husten", "couhg", "noise;cough?", "dog_bark", "1", "cough\n## Forged"])
def test_a_label_that_may_be_a_cough_or_anything_is_refused_by_name(tmp_path, labels):
    with pytest.raises(DataError, match=r"manifest\.csv, line \d, column labels holds"):
        manifest_with(tmp_path, labels=labels)
        build_manifest(tmp_path)


@pytest.mark.parametrize(
    "cells",
    [
        *({"duration_s": text} for text in ("nan", "inf", "-1", "1,5", "two", "")),
        *({"path": text} for text in ("../../../../etc/x.wav", "/etc/x.wav", "D:\\x.wav", "..\\x.wav", "")),
        *({"group_fold": text} for text in ("6", "0", "1.5", "five")),
        {"source_id": "a\tb"},
    ],
)
def test_a_cell_that_cannot_be_meant_is_refused_by_line_and_column(tmp_path, cells):
    with pytest.raises(DataError, match=rf"manifest\.csv, line 2, column {next(iter(cells))} holds "):
        manifest_with(tmp_path, **cells)
        build_manifest(tmp_path)


def test_a_recording_that_stands_twice_is_refused(tmp_path):
    manifest_with(tmp_path, path="./audio//2.opus")
    with pytest.raises(DataError, match=r"line 3, column path names 'audio/2\.opus' again, as .*line 2 does"):
        build_manifest(tmp_path)


@pytest.mark.parametrize("spelling", ["S05", "s5", "05.0", "5", "s-05", "Zo\u00eb", "Zoe\u0308", "\u00a0zoe\u0308 "])
def test_spellings_of_one_subject_are_on_one_side(tmp_path, capsys, spelling):
    write_pack(tmp_path, "coughs", [recording(n, id_, 5) for n, id_ in enumerate(("s05", "5.0", "Zo\u00eb"))])
    write_pack(tmp_path, "unlabelled", [recording(4, spelling, None, ""), recording(5, "s50", None, "")])
    roles = {row.source_id: row.role for row in build_manifest(tmp_path) if row.pack == "unlabelled"}
    assert roles == {"unlabelled:source5": "train"}


def test_one_spelling_of_a_subject_is_kept_and_said(tmp_path, capsys):
    write_pack(tmp_path, "coughs", [recording(1, "S05", 1), recording(2, "s05 ", 2), recording(3, "5", 3)])
    assert [row.subject_id for row in build_manifest(tmp_path)] == ["S05", "S05", "5"]
    assert "the subjects 'S05', 's05' are taken as one person, 'S05'" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["nan", "-", "unknown", "N/A", "None", "?", "<NA>", "-1"])
def test_a_word_for_nobody_is_nobody_and_that_is_said(tmp_path, capsys, word):
    write_pack(tmp_path, "coughs", [recording(1, word, 5), recording(2, "ben", 5), recording(3, "", 5)])
    rows = build_manifest(tmp_path)
    assert [(row.subject_id, row.role) for row in rows] == [
        ("coughs:unknown", "train"),
        ("ben", "validation"),
        ("coughs:unknown", "train"),
    ]
    assert f"1 recordings name nobody ({word!r})" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("column", "text"),
    [("role", "x"), ("duration_s", "nan"), ("path", "../x.wav"), ("labelled", "perhaps"), ("subject_id", "nan")],
)
def test_a_manifest_altered_by_hand_is_refused_by_line_and_column(tmp_path, column, text):
    write_pack(tmp_path, "coughs", [recording(1, "anna"), recording(2, "ben")])
    write_manifest(build_manifest(tmp_path), tmp_path / "all.csv")
    rows = list(csv.DictReader((tmp_path / "all.csv").read_text().splitlines()))
    rows[1][column] = text
    (tmp_path / "all.csv").write_text(table_text(list(rows[0]), rows))
    with pytest.raises(DataError, match=rf"all\.csv, line 3, column {column} holds '{text}'; expected "):
        read_manifest(tmp_path / "all.csv")


def test_a_manifest_with_a_subject_on_two_sides_is_refused(tmp_path):
    write_pack(tmp_path, "coughs", [recording(1, "anna", 1), recording(2, "ben", 5)])
    anna, ben = build_manifest(tmp_path)
    write_manifest([anna, replace(ben, subject_id="Anna")], tmp_path / "all.csv")
    with pytest.raises(DataError, match="has the subject 'anna' in train and in validation"):
        read_manifest(tmp_path / "all.csv")


def test_near_silent_recordings_are_left_out(tmp_path):
    write_pack(tmp_path, "coughs", [recording(1, "anna", flags="x;near_silent"), recording(2, "ben")])
    assert [row.subject_id for row in build_manifest(tmp_path)] == ["ben"]


def test_a_manifest_survives_writing_and_reading(tmp_path):
    write_pack(tmp_path, "coughs", [recording(1, "anna", 5, "cough;speech"), recording(2, "ben", None, "")])
    rows = build_manifest(tmp_path)
    write_manifest(rows, tmp_path / "all.csv")
    assert read_manifest(tmp_path / "all.csv") == rows


def test_a_folder_without_packs_and_a_file_that_is_no_manifest_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no pack .* was found"):
        build_manifest(tmp_path)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"other\.csv is not a manifest"):
        read_manifest(tmp_path / "other.csv")


@pytest.mark.long
@pytest.mark.skipif(not SHARED_DATA.exists(), reason="the recordings in ../shared/data are not here")
def test_in_the_real_packs_no_subject_and_no_source_crosses_a_split():
    rows = build_manifest(SHARED_DATA)
    for key in ("subject_id", "source_id"):
        of_role = {
            role: {getattr(row, key) for row in rows if row.role == role} for role in ("train", "validation", "test")
        }
        assert not of_role["train"] & of_role["validation"]
        assert not (of_role["train"] | of_role["validation"]) & of_role["test"]
    assert {row.pack for row in rows if row.role == "test"} == {"esc50_part"}
    assert "validation: " in summarize(rows)


def test_a_part_of_the_training_subjects_is_kept_with_all_their_recordings_and_smaller_parts_lie_in_larger(tmp_path):
    write_pack(tmp_path, "coughs", [recording(n, f"subject{n // 2}", 5 if n < 20 else 1) for n in range(600)])
    rows = build_manifest(tmp_path)
    tenth, third = (with_fewer_train_subjects(rows, fraction) for fraction in (0.1, 0.33))
    assert set(tenth) < set(third) < set(rows) == set(with_fewer_train_subjects(rows, 1.0))
    assert sum(row.role == "validation" for row in tenth) == 20
    kept = {row.subject_id for row in tenth if row.role == "train"}
    assert {row for row in rows if row.subject_id in kept} <= set(tenth)
    assert 10 < len(kept) < 60


def test_packs_used_counts_only_the_role(tmp_path):
    write_pack(tmp_path, "coughs", [recording(1, "anna", 1), recording(2, "ben", 2), recording(3, "carl", 5)])
    (pack,) = packs_used(build_manifest(tmp_path), role="train")
    assert pack == {"name": "coughs", "recordings": 2, "hours": 0.001, "licences": ["CC0"]}
