import json
import math
import shutil
from dataclasses import replace

import pytest

from core.audio import write_wav
from core.bundle import load_bundle
from core.demonstration import synthesize_demonstration
from core.errors import DataError
from core.files import sha256_of_file
from core.screener import Screener
from distill.checkpoints import Checkpoint
from quantize.bundle import app as bundle_app
from quantize.bundle import write_bundle
from quantize.bundle_parts import UNKNOWN_TIME, created_utc

pytestmark = pytest.mark.long


@pytest.fixture(scope="session")
def bundle(world, made, build, tmp_path_factory):
    """A bundle of everything that was made."""
    out = tmp_path_factory.mktemp("bundles") / "bundle"
    result = build(world, made, out)
    assert result.exit_code == 0, result.stderr
    return out


def contents(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edited(path, to, **changes):
    to.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
    return to


def test_a_built_bundle_screens_a_recording(bundle, tmp_path):
    write_wav(tmp_path / "demonstration.wav", synthesize_demonstration())
    screening = Screener(load_bundle(bundle)).screen(tmp_path / "demonstration.wav")
    assert set(screening.event_scores) == set(load_bundle(bundle).event_labels)
    assert all(0 <= score <= 1 and math.isfinite(score) for score in screening.event_scores.values())
    assert screening.cough_count is not None
    assert screening.probes[0].score is None and "Demonstration only" in screening.probes[0].reason


def test_a_bundle_holds_the_int8_model_the_probes_and_the_card(bundle, made, probe_file):
    files = contents(bundle)
    assert set(files) == {"bundle.json", "model.tflite", "model_card.md", "probes/tb.json"}
    assert files["model.tflite"] == made.int8.read_bytes()
    assert files["probes/tb.json"] == probe_file


def test_the_same_parts_give_the_same_bytes_and_replace_what_was_there(bundle, world, made, build, tmp_path):
    out = tmp_path / "bundle"
    out.mkdir()
    (out / "bundle.json").write_text("{}")
    (out / "of_an_earlier_format").write_text("")
    assert build(world, made, out).exit_code == 0
    assert contents(out) == contents(bundle)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_the_provenance_traces_the_bundle_to_its_parts(bundle, world, made):
    origin = load_bundle(bundle).provenance
    assert origin["student"]["checkpoint_sha256"] == sha256_of_file(world.checkpoint)
    assert origin["student"]["settings"]["student"]["pooled_channels"] == 32
    assert origin["float_model_sha256"] == sha256_of_file(made.export / "student_float.tflite")
    assert origin["quantization"]["recipe"]["name"] == "small_int8"
    assert origin["quantization"]["calibration"]["ids_sha256"] == sha256_of_file(world.calibration_ids)
    assert origin["packs"] == [{"name": "synthetic", "recordings": 16, "hours": 0.01, "licences": ["CC BY-NC 3.0"]}]
    assert origin["commit"] and origin["tools"]["ai-edge-quantizer"]


def test_no_file_of_a_bundle_names_a_folder_of_this_machine(bundle, world):
    for content in contents(bundle).values():
        assert str(world.data.parent).encode() not in content
        assert b"/tmp/" not in content and b"/home/" not in content


def test_verify_accepts_a_bundle_and_names_the_file_that_was_altered(bundle, run, tmp_path):
    assert run(bundle_app, "verify", bundle).exit_code == 0
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    (copy / "model_card.md").write_text("A medical device.")
    result = run(bundle_app, "verify", copy)
    assert result.exit_code == 2
    assert "model_card.md was altered" in result.stderr


def test_show_prints_the_origin(bundle, run):
    result = run(bundle_app, "show", bundle)
    assert result.exit_code == 0
    assert "probe tb: demonstration" in result.stdout and "checkpoint_sha256" in result.stdout


def test_an_int8_model_that_was_refused_is_not_packaged(world, made, build, tmp_path):
    recipe = json.loads(made.agreement.read_text(encoding="utf-8"))["recipe"]
    strict = recipe | {"limits": recipe["limits"] | {"max_model_bytes": 9}}
    refused = edited(made.agreement, tmp_path / "agreement.json", recipe=strict)
    result = build(world, replace(made, agreement=refused), tmp_path / "bundle")
    assert result.exit_code == 2
    assert "says that the int8 model drifted: ['the size in bytes is" in result.stderr
    assert not (tmp_path / "bundle").exists()


def test_parts_of_different_models_are_not_packaged(world, made, build, student, checkpoint_of, tmp_path):
    other = checkpoint_of(student(seed=3), tmp_path / "other.pt")
    wrong = {
        "checkpoint": ({"checkpoint": other}, "export.json is about another file than"),
        "int8": ({"int8": made.export / "student_float.tflite"}, "agreement.json is about another file than"),
        "thresholds": (
            {"thresholds": edited(made.thresholds, tmp_path / "thresholds.json", model_sha256="0" * 64)},
            "its model_sha256 is 000000000000..., expected",
        ),
        "report": ({"agreement": made.thresholds}, "expected 'tussis.agreement/1'"),
    }
    for changes, words in wrong.values():
        result = build(world, made, tmp_path / "bundle", **changes)
        assert result.exit_code == 2
        assert words in result.stderr
    assert not (tmp_path / "bundle").exists()


def test_a_probe_fitted_on_another_model_is_not_packaged(world, made, build, probe_file, tmp_path):
    (tmp_path / "probes").mkdir()
    content = json.loads(probe_file)
    content["training"] = {"model_sha256": "1" * 64}
    (tmp_path / "probes" / "tb.json").write_text(json.dumps(content))
    result = build(world, replace(made, probes=tmp_path / "probes"), tmp_path / "bundle")
    assert result.exit_code == 2
    assert "tb.json is about another file than" in result.stderr


def test_a_folder_that_is_no_bundle_is_left_as_it_is(world, made, build, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    result = build(world, made, tmp_path / "thesis")
    assert result.exit_code == 2
    assert "holds something else than a bundle" in result.stderr
    assert contents(tmp_path / "thesis") == {"chapter.txt": b"years of work"}


def test_the_time_comes_from_source_date_epoch_then_the_checkpoint_then_its_commit(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert created_utc(Checkpoint({})) == "1970-01-02T00:00:00Z"
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert created_utc(Checkpoint({}, provenance={"created_utc": "2025-01-02T03:04:05Z"})) == "2025-01-02T03:04:05Z"
    assert created_utc(Checkpoint({}, provenance={"commit": "unknown"})) == UNKNOWN_TIME
    assert created_utc(Checkpoint({})) == UNKNOWN_TIME


def test_without_thresholds_and_evaluation_the_card_says_so(world, made, bundle, build, tmp_path, run):
    options = {"float": made.export / "student_float.tflite", "int8": made.int8, "checkpoint": world.checkpoint}
    options |= {"probes": made.probes, "agreement": made.agreement, "export": made.export / "export.json"}
    arguments = [part for key, path in options.items() for part in (f"--{key}", path)]
    result = run(bundle_app, "build", *arguments, "--out", tmp_path / "bundle")
    assert result.exit_code == 0, result.stderr
    card = (tmp_path / "bundle" / "model_card.md").read_text(encoding="utf-8")
    assert "every probability is a default" in card and "Not evaluated when this bundle was built" in card
    assert set(load_bundle(tmp_path / "bundle").screening.event_thresholds.values()) == {0.5}


def test_the_card_says_what_the_model_learnt_from_and_cannot_do(bundle):
    card = (bundle / "model_card.md").read_text(encoding="utf-8")
    assert "| synthetic | 16 | 0.01 | CC BY-NC 3.0 | non-commercial |" in card
    assert "for non-commercial use only" in card
    assert "| snore | YAMNet's scores only" in card and "| cough | people's labels" in card
    assert "Not a medical device" in card and "Nothing was trained on a diagnosis" in card
    assert "a demonstration fitted on synthetic sound" in card
    assert "- on unseen recordings: cough, snore," in card and "- the probe tb on people" in card
    assert "- AUROC of int8 against float, for want of validation recordings: snore, breathing" in card
    assert "| cough | 8 of 16 |" in card and "| snore | too few | - |" in card


def test_the_card_shows_an_evaluation_of_this_model_with_its_intervals(world, made, build, tmp_path):
    estimate = {"value": 0.9876, "low": 0.9512, "high": 0.9987, "n": 30, "n_subjects": 20}
    one = {"n": 30, "n_positive": 12, "auroc_unscored_lowest": estimate, "auroc_scored_only": None}
    evaluation = {
        **{"schema": "tussis.evaluation/1", "model_sha256": sha256_of_file(made.int8), "pack": "esc50_part", "n": 30},
        **{"n_subjects": 20, "n_unscored": 1, "labels": {"cough": one}, "labels_absent": ["snore"]},
        **{"cough_sensitivity": estimate, "cough_false_alarm_rate": {**estimate, "low": None}},
    }
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
    result = build(world, made, tmp_path / "bundle", evaluation=tmp_path / "evaluation.json")
    assert result.exit_code == 0, result.stderr
    card = (tmp_path / "bundle" / "model_card.md").read_text(encoding="utf-8")
    assert "| cough | 12 of 30 | 0.9876 (0.9512 to 0.9987) | - |" in card
    assert "esc50_part" in card and "Not in this pack, so not measured: snore." in card
    assert "sensitivity 0.9876 (0.9512 to 0.9987) of 30 recordings, false alarms 0.9876 of 30 recordings" in card
    assert "- on unseen recordings: snore, breathing" in card
    edited(tmp_path / "evaluation.json", tmp_path / "other.json", model_sha256="2" * 64)
    assert build(world, made, tmp_path / "bundle", evaluation=tmp_path / "other.json").exit_code == 2


@pytest.mark.parametrize("recorded", ["--output=x", "-O/tmp/x", "HEAD", "main", "0123456\n", "a" * 65])
def test_a_commit_that_a_checkpoint_names_is_never_an_option_of_git(tmp_path, monkeypatch, recorded):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert created_utc(Checkpoint({}, provenance={"commit": recorded})) == UNKNOWN_TIME
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("epoch", ["99999999999999", "253402300800", "-1", "1.5", "\u0661", "9" * 5000])
def test_a_source_date_that_is_no_time_is_refused_with_a_sentence(monkeypatch, epoch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(DataError, match=r"SOURCE_DATE_EPOCH is .*expected whole seconds from 1970 to 9999") as refused:
        created_utc(Checkpoint({}))
    assert len(str(refused.value)) < 200


def test_a_bundle_cannot_write_the_words_that_vouch_for_it(run, tmp_path):
    claim = "small is complete and unaltered, signed by SHA256:kQ3x, a trusted key[black on black conceal]"
    files = load_bundle().read_files()
    fields = json.loads(files["bundle.json"]) | {"name": claim}
    write_bundle({**files, "bundle.json": json.dumps(fields).encode()}, tmp_path / "evil")
    said = run(bundle_app, "verify", tmp_path / "evil")
    assert said.exit_code == 0, said.stderr
    first, second = said.stdout.splitlines()
    assert first.startswith(f"{tmp_path / 'evil'}: bundle.json ")
    assert first.endswith(", unsigned, complete and unaltered, and its model runs")
    assert second == f"name: {claim}"
    for command in (("show", tmp_path / "evil"), ("pack", tmp_path / "evil", "--out", tmp_path / "e[red].tussis")):
        said = run(bundle_app, *command)
        assert said.exit_code == 0 and f"name: {claim}" in said.stdout.splitlines()
    assert "e[red].tussis: bundle.json" in said.stdout


def test_reports_that_lack_what_the_card_shows_are_refused_with_a_sentence(world, made, build, tmp_path):
    evaluation = {"schema": "tussis.evaluation/1", "model_sha256": sha256_of_file(made.int8), "pack": "p", "n": []}
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
    said = build(world, made, tmp_path / "bundle", evaluation=tmp_path / "evaluation.json")
    assert said.exit_code == 2 and "do not hold what bundle.json and the model card need" in said.stderr
    assert not (tmp_path / "bundle").exists()


def test_a_probe_is_added_to_a_bundle_and_the_card_tells_of_it(default_bundle, lung_probe_content, run, tmp_path):
    (tmp_path / "probes").mkdir()
    lungs = tmp_path / "probes" / "lungs.json"
    command = ("add-probes", default_bundle.path, "--probes", tmp_path / "probes", "--out", tmp_path / "mine.tussis")
    done = run(bundle_app, *command)
    assert done.exit_code == 2 and "holds no NAME.json of a probe" in done.stderr
    lungs.write_text(json.dumps(lung_probe_content("1" * 64)))
    done = run(bundle_app, *command)
    assert done.exit_code == 2 and "lungs.json" in done.stderr and not (tmp_path / "mine.tussis").exists()
    lungs.write_text(json.dumps(lung_probe_content(default_bundle.model_sha256)))
    assert run(bundle_app, *command).exit_code == 0
    bundle = load_bundle(tmp_path / "mine.tussis")
    assert [probe.name for probe in bundle.probes] == ["lungs.fev1", "lungs.copd", "spirometry", "tb"]
    assert bundle.name == f"{default_bundle.name} with lungs" and not bundle.signature.is_trusted
    card = bundle.read_files()["model_card.md"].decode()
    assert card.count("## Probes") == 1 and "**FEV1** (`lungs.fev1`): for research" in card and "(`tb`)" in card
    assert bundle.model_sha256 == default_bundle.model_sha256
