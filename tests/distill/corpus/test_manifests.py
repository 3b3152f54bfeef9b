import csv
from pathlib import Path

import pytest

from core.errors import DataError
from distill.corpus.manifests import (
    build_manifest,
    packs_used,
    read_manifest,
    summarize,
    with_fewer_train_subjects,
    write_manifest,
)

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
