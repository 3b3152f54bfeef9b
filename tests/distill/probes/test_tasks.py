"""Tasks of a recipe: planted effects are found, chance is chance, and no subject is on both sides."""

from collections import Counter

import numpy as np
import pytest

from core.audio import write_wav
from core.errors import DataError
from distill.corpus.cohorts.rows import CohortRow
from distill.probes.tasks import EmbeddedCohort, Task, measure_task, read_tasks, run_tasks


def odd_are_test(subject):
    return "test" if subject % 2 else "train"


def made_up(effect, n_subjects=60, answer="classification", seed=0, split=None):
    """Two recordings a subject; the first of 20 features moves with the label."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(
        np.arange(n_subjects) % 2 if answer == "classification" else generator.uniform(1, 5, n_subjects), 2
    )
    features = np.repeat(generator.normal(size=(n_subjects, 20)), 2, axis=0)
    features[:, 0] += effect * labels
    rows = []
    for i, label in enumerate(labels):
        covariates = {"sound": "heavy" if i % 2 else "shallow"}
        if split is not None:
            covariates["split"] = split(i // 2)
        rows.append(CohortRow(f"{i}.wav", f"p{i // 2}", {"tb": float(label)}, covariates))
    return EmbeddedCohort(rows, features, {})


def task(**changes):
    fields = {"group": "g", "data_set": "cidrz", "label": "tb", "answer": "classification"}
    return Task(**{**fields, "where": {}, "split": "subject", **changes})


def test_hears_table_has_its_three_groups_and_readers():
    tasks = read_tasks()
    counts = Counter(task.group for task in tasks)
    assert counts == {"health acoustic events": 13, "cough inference": 8, "spirometry": 6}
    assert [task.label for task in tasks if task.data_set == "cidrz"] == ["tb", "sex_male", "*"]
    assert next(task for task in tasks if task.data_set == "coswara").where == {
        "sound": ("cough-heavy", "cough-shallow")
    }


@pytest.mark.long
def test_a_planted_effect_is_found_and_none_is_chance():
    found = measure_task(task(), made_up(6.0))
    assert found["auroc"]["value"] > 0.95 and found["n_test"] + found["n_training"] == 120
    assert found["n_test_participants"] == 12 and found["n_positive"] == 6
    chance = [measure_task(task(), made_up(0.0, seed=seed))["auroc"]["value"] for seed in range(12)]
    assert abs(np.mean(chance) - 0.5) < 0.1


def test_a_measured_value_has_its_error():
    found = measure_task(task(answer="regression"), made_up(3.0, answer="regression"))
    assert found["mean_absolute_error"]["value"] < 0.5 and found["pearson"] > 0.9


def test_where_chooses_recordings():
    found = measure_task(task(where={"sound": ("heavy",)}), made_up(6.0))
    assert found["n_test"] + found["n_training"] == 60


def test_the_official_split_is_kept_and_refused_where_a_subject_crosses_it():
    official = made_up(6.0, split=lambda subject: "test" if subject < 20 else "train")
    assert measure_task(task(split="official"), official)["n_test_participants"] == 20
    crossing = CohortRow("x.wav", "p1", {"tb": 1.0}, {"split": "train"})
    features = np.vstack([official.features, official.features[:1]])
    with pytest.raises(DataError, match="own split has 'p1' on both sides"):
        measure_task(task(split="official"), EmbeddedCohort([*official.rows, crossing], features, {}))


@pytest.mark.parametrize(
    ("cohort", "changes", "sentence"),
    [
        (made_up(1.0, n_subjects=8), {}, "8 subjects have tb; at least 10 are needed"),
        (made_up(1.0), {"label": "covid"}, "0 subjects have covid"),
        (made_up(1.0, split=odd_are_test), {"split": "official"}, "training part has 0 subjects with tb 1; 5"),
        (made_up(1.0, split=lambda _: "train"), {"split": "official"}, "the test part has 0 subjects with tb 0; 1"),
    ],
)
def test_too_little_is_refused_with_what_is_needed(cohort, changes, sentence):
    with pytest.raises(DataError, match=sentence):
        measure_task(task(**changes), cohort)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("g,nowhere,tb,classification,,subject", "column data_set holds 'nowhere'; expected one of cidrz"),
        ("g,coda,tb,ranking,,subject", "column answer holds 'ranking'"),
        ("g,coda,tb,classification,,random", "column split holds 'random'"),
        ("g,coda,,classification,,subject", "column label holds ''"),
        ("g,coda,tb,classification,sound,subject", "column where holds 'sound'"),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_refused_with_its_line(tmp_path, line, sentence):
    recipe = tmp_path / "recipe.csv"
    recipe.write_text(f"group,data_set,label,answer,where,split\n{line}\n")
    with pytest.raises(DataError, match=f"line 2, {sentence}"):
        read_tasks(recipe)


@pytest.fixture
def fsd50k(tmp_path):
    """Hisses that are called coughs and rushes that are called speech, half of them for testing."""
    folder, tables = tmp_path / "fsd50k", {"dev": ["fname,labels,split"], "eval": ["fname,labels"]}
    (folder / "audio").mkdir(parents=True)
    for i in range(28):
        generator, part = np.random.default_rng(i), "dev" if i < 16 else "eval"
        noise = generator.standard_normal(32_000)
        sound = noise if i % 2 else np.convolve(noise, np.ones(8), "same")
        write_wav(folder / "audio" / f"{i}.wav", (0.1 * sound / np.abs(sound).max()).astype(np.float32))
        tables[part].append(f"{i},{'Cough' if i % 2 else 'Speech'}" + ",train" * (part == "dev"))
    for name, lines in tables.items():
        (folder / f"{name}.csv").write_text("\n".join(lines))
    return folder


def test_tasks_run_where_there_is_data_and_say_why_where_not(fsd50k, stand_in):
    (fsd50k / "audio" / "0.wav").unlink()
    result = run_tasks(read_tasks(), {"fsd50k": fsd50k}, stand_in)
    by_label = {(done["data_set"], done["label"]): done for done in result["tasks"]}
    assert len(result["tasks"]) == 27 and result["left_out"] == {"fsd50k": {"missing": 1}}
    for label in ("cough", "speech"):
        assert by_label["fsd50k", label]["result"]["auroc"]["value"] == 1.0
    assert "0 subjects with sneeze 1" in by_label["fsd50k", "sneeze"]["reason"]
    assert by_label["cidrz", "*"]["reason"] == "no folder was given"


def test_a_folder_that_no_task_asks_is_refused(fsd50k, stand_in):
    with pytest.raises(DataError, match="no task is about 'icbhi'"):
        run_tasks(read_tasks(), {"icbhi": fsd50k}, stand_in)
