"""The card says of the shipped bundle what its provenance holds, and of other runs what they hold."""

import json
import re
from dataclasses import replace

import pytest

from core.bundle import DEFAULT_BUNDLE, load_bundle
from distill.checkpoints import Checkpoint
from quantize.agreement import Agreement, ComposedComparison
from quantize.bundle_parts import BundleParts
from quantize.model_card import render_model_card

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def fields() -> dict:
    return json.loads((DEFAULT_BUNDLE / "bundle.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def parts(fields: dict, made) -> BundleParts:
    """What the shipped bundle was made from, as far as its provenance says; the rest is of another model."""
    origin = fields["provenance"]
    report = json.loads(made.agreement.read_text(encoding="utf-8")) | {"n_recordings": 714}
    report |= origin["agreement"] | origin["quantization"]
    return BundleParts(
        int8_model=load_bundle().read_model(),
        checkpoint=Checkpoint({}, settings=origin["student"]["settings"], provenance=origin["student"]["training"]),
        checkpoint_sha256=origin["student"]["checkpoint_sha256"],
        probes={},
        parsed_probes=load_bundle().probes,
        agreement=Agreement.from_json(report, "agreement.json"),
        export={},
        thresholds={**origin["thresholds"], "screening": fields["screening"]},
        evaluation=None,
    )


def test_each_event_says_how_it_was_learnt_and_what_its_threshold_was_chosen_on(fields, parts) -> None:
    counts = dict.fromkeys(parts.thresholds["n_training_recordings"], 0) | {"cough": 1086}
    points = {"cough": {"n_positive": 252, "n_negative": 462}, "snore": {"reason": "too few"}}
    told = replace(parts, thresholds={**parts.thresholds, "n_training_recordings": counts, "events": points})
    threshold = fields["screening"]["event_thresholds"]
    card = render_model_card(fields, _taught_with(told, targets_sha256={"events.npz": "01", "embeddings.npz": "23"}))
    taught = "people's labels, and YAMNet's scores where nobody labelled"
    assert f"| cough | {taught} | 1086 | {threshold['cough']:g} | 252 with and 462 without it, validation |" in card
    assert (
        "| snore | YAMNet's scores only: no training recording was labelled with it | 0 | "
        f"{threshold['snore']:g} | nothing: too few |" in card
    )
    assert "Embedding: that of a teacher, by the targets `23`." in card


def test_the_card_names_the_teacher_of_the_embedding_where_the_checkpoint_does(fields, parts) -> None:
    taught = _taught_with(parts, targets_sha256={"embeddings.npz": "23"}, teacher="mae-statistics:0123")
    assert "Embedding: that of the teacher `mae-statistics:0123`, by" in render_model_card(fields, taught)


def test_the_card_names_both_teachers_that_heard_the_mixtures(fields, parts) -> None:
    card = render_model_card(fields, _taught_with(parts, mixtures={}, teacher="mn04:01+yamnet:23"))
    assert "| cough | people's labels, and YAMNet's and mn04_as's scores where nobody labelled |" in card
    assert "Embedding: theirs on the mixtures, `mn04:01+yamnet:23`." in card


def test_the_card_says_which_labels_the_event_layer_was_fitted_to(fields, parts) -> None:
    assert "at least 50 of them hold." in render_model_card(fields, parts)
    assert "Event layer:" not in render_model_card(fields, _taught_with(parts, mixtures={}))


def test_without_a_teacher_of_events_the_card_claims_none(fields, parts) -> None:
    card = render_model_card(fields, _taught_with(parts, targets_sha256={}))
    assert "YAMNet" not in card and "Embedding:" not in card
    assert "| cough | people's labels only |" in card
    counts = dict.fromkeys(parts.thresholds["n_training_recordings"], 0)
    unlabelled = replace(parts, thresholds={**parts.thresholds, "n_training_recordings": counts})
    assert "| snore | nothing: no training recording was labelled with it" in render_model_card(
        fields, _taught_with(unlabelled, targets_sha256={})
    )


def _taught_with(parts: BundleParts, **provenance: object) -> BundleParts:
    kept = {name: value for name, value in parts.checkpoint.provenance.items() if name == "packs"}
    return replace(parts, checkpoint=Checkpoint({}, provenance={**kept, **provenance}))


def test_limits_are_those_of_the_packs_that_were_used(fields, parts) -> None:
    assert "- coswara_20200413: People who volunteered on the web" in render_model_card(fields, parts)
    origin = {**fields["provenance"], "packs": [{"name": "clinic", "recordings": 1, "hours": 1.0, "licences": ["CC0"]}]}
    card = render_model_card({**fields, "provenance": origin}, parts)
    assert "| clinic | 1 | 1.00 | CC0 |" in card and "volunteered" not in card and "non-commercial" not in card


def test_what_was_not_evaluated_is_listed(fields, parts) -> None:
    card = render_model_card(fields, parts).partition("## Not evaluated")[2]
    assert "- on unseen recordings: cough, snore, breathing, sneeze, throat_clear, laugh, speech, cry" in card
    assert "for want of validation recordings: snore, throat_clear" in card
    assert "- the probe tb on people" in card and "- any clinical use" in card


def test_a_demonstration_shows_no_figure_and_a_research_probe_its_own_with_n_and_how(fields, parts) -> None:
    demonstration = render_model_card(fields, parts)
    assert "Fitted on 40 subjects and 120 recordings." in demonstration
    studied = tuple(replace(probe, status="research") for probe in parts.parsed_probes)
    card = render_model_card(fields, replace(parts, parsed_probes=studied))
    figure = re.search(r"AUROC (0\.\d{4} \(0\.\d{4} to \d\.\d{4}\)) over 40; measured on synthetic sound", card)
    assert figure and figure[1] not in demonstration
    assert "- the probe tb on people" not in card


def test_agreement_on_coughs_at_known_times_and_layers_left_in_float_are_shown(fields, parts) -> None:
    f1 = {"float": 0.85, "int8": 0.84, "loss": 0.01}
    before = parts.agreement.reference
    before = replace(before, embedding_cosine=replace(before.embedding_cosine, median=0.99))
    more = replace(
        parts.agreement,
        composed=ComposedComparison(120, 273, f1, f1),
        fallback=replace(parts.agreement.fallback, layers=["stem"]),
        reference=before,
    )
    card = render_model_card(fields, replace(parts, agreement=more))
    assert (
        "on 273 coughs in 120 composed recordings: of frames 0.850 and 0.840, of counted coughs 0.850 and 0.840."
        in card
    )
    assert "Layers left in float: stem." in card and "median embedding cosine 0.99000" in card
    none = replace(more, fallback=replace(more.fallback, layers=[]), reference=None)
    card = render_model_card(fields, replace(parts, agreement=none))
    assert "Layers left in float" not in card and "before it was tuned" not in card


@pytest.mark.parametrize(
    "hostile",
    ["x\n\n## Intended use\n\nApproved as a medical device.", "<script>x</script>", "![t](http://x)", "a|b`c*"],
)
def test_nothing_that_a_bundle_is_made_from_adds_a_section_a_column_or_an_image_to_the_card(
    fields, parts, hostile: str
) -> None:
    fields = json.loads(json.dumps(fields)) | {"name": hostile}
    fields["provenance"]["packs"] = [{"name": hostile, "recordings": 1, "hours": 1.0, "licences": [hostile]}]
    fields["provenance"]["student"]["training"]["commit"] = hostile
    probe = replace(parts.parsed_probes[0], title=hostile, intended_use=hostile, metrics={"how": hostile})
    provenance = parts.checkpoint.provenance | {"teacher": hostile}
    evil = replace(parts, parsed_probes=(probe,), checkpoint=replace(parts.checkpoint, provenance=provenance))
    card, expected = render_model_card(fields, evil), render_model_card(fields | {"name": "a"}, parts)
    headings = [line for line in card.splitlines() if line.startswith("## ")]
    assert headings == [line for line in expected.splitlines() if line.startswith("## ")]
    assert "Approved as a medical device." not in card.splitlines()
    assert not re.search(r"<script|!\[|\]\(http|a\|b|b`c", card)
