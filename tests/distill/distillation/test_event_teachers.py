"""What labels and two teachers come to, and where neither is taken at its word."""

from dataclasses import replace

import numpy as np
import pytest

from distill.corpus.labels import EVENT_LABELS
from distill.corpus.manifests import ManifestRow
from distill.distillation.event_teachers import EventTargets, EventTeacherSettings, LabelBlend, blended, event_targets

COLUMN = {label: column for column, label in enumerate(EVENT_LABELS)}
N_EVENTS = len(EVENT_LABELS)


def row(pack: str, *labels: str) -> ManifestRow:
    return ManifestRow(f"{pack}/1.wav", pack, "s", "s", 2.0, labels, 1, "CC0", "train", bool(labels))


def targets_of(
    row: ManifestRow, cough: float = 0.0, cough_weight: float = 1.0, led: tuple[str, ...] = (), **mn04_logits: float
) -> EventTargets:
    """Targets of one clip that mn04_as alone scores: -6 where no logit is given."""
    blends = {label: LabelBlend(mn04_weight=1.0) for label in EVENT_LABELS}
    composed = EventTargets(np.zeros((1, N_EVENTS), np.float32), np.ones((1, N_EVENTS), np.float32))
    composed.events[0, COLUMN["cough"]], composed.weights[0, COLUMN["cough"]] = cough, cough_weight
    logits = np.full((1, N_EVENTS), -6.0, np.float32)
    for label, logit in mn04_logits.items():
        logits[0, COLUMN[label.removesuffix("_heard")]] = logit
    scores = np.full((1, N_EVENTS), 0.5, np.float32)
    settings = EventTeacherSettings(labels=blends, led_by_teachers=led)
    events, weights = event_targets([row], composed, scores, logits, settings)
    return EventTargets(events[0], weights[0])


def test_each_teachers_centre_is_a_probability_of_one_half_and_weights_divide_logits() -> None:
    blends = {"snore": LabelBlend(mn04_weight=0.25, mn04_centre=-2.0, yamnet_centre=1.0)}
    settings = EventTeacherSettings(labels=blends, temperature=2.0)
    scores, logits = np.full((2, N_EVENTS), 1 / (1 + np.exp(-1.0))), np.full((2, N_EVENTS), -2.0)
    logits[1] += 4.0
    of_snore = blended(scores, logits, settings)[:, COLUMN["snore"]]
    assert of_snore == pytest.approx([0.5, 1 / (1 + np.exp(-0.25 * 4.0 / 2.0))])
    even = blended(scores, logits, settings)[0, COLUMN["laugh"]]
    assert even == pytest.approx(1 / (1 + np.exp(-0.5 * (1.0 - 2.0) / 2.0)))


def test_scores_of_0_and_1_give_finite_targets() -> None:
    ends = blended(np.array([0.0, 1.0])[:, None].repeat(N_EVENTS, 1), np.zeros((2, N_EVENTS)), EventTeacherSettings())
    assert (ends[0] < 0.1).all() and (ends[1] > 0.9).all()


def test_a_named_label_is_1_and_what_nobody_named_is_the_teachers() -> None:
    events, weights = targets_of(row("esc10", "sneeze"), speech=0.0)
    assert events[COLUMN["sneeze"]] == 1
    assert events[COLUMN["speech"]] == pytest.approx(0.5)
    assert events[COLUMN["snore"]] == pytest.approx(1 / (1 + np.exp(6.0)))
    assert (weights == 1).all()


def test_a_label_that_the_teachers_lead_is_theirs_even_where_a_pack_names_it() -> None:
    events, weights = targets_of(row("esc10", "sneeze", "snore"), led=("sneeze",), sneeze=0.0)
    assert events[[COLUMN["sneeze"], COLUMN["snore"]]] == pytest.approx([0.5, 1.0])
    assert (weights == 1).all()


def test_coughs_of_labelled_clips_are_as_composed() -> None:
    labelled = targets_of(row("noises", "noise"), cough=0.0, cough_weight=1.0, throat_clear=2.0)
    assert labelled.events[COLUMN["cough"]] == 0
    cut_away = targets_of(row("covid19_cough", "cough"), cough=1.0, cough_weight=0.0)
    assert cut_away.weights[COLUMN["cough"]] == 0


def test_a_clip_labelled_cough_is_no_throat_clearing_whatever_the_teacher_says() -> None:
    coughs = targets_of(row("covid19_cough", "cough"), cough=1.0, throat_clear=3.0)
    assert coughs.events[COLUMN["throat_clear"]] == pytest.approx(0.1)
    noise = targets_of(row("esc10", "noise"), throat_clear=3.0)
    assert noise.events[COLUMN["throat_clear"]] > 0.9


def test_weak_labels_count_less_than_1() -> None:
    weak = targets_of(row("emogator_mined", "throat_clear", "vocal_burst"), throat_clear=-3.0)
    assert weak.events[COLUMN["throat_clear"]] == pytest.approx(0.75)
    assert targets_of(row("emogator_mined", "cough"), cough=1.0).events[COLUMN["cough"]] == pytest.approx(0.75)


def test_an_acted_snore_or_sneeze_is_unknown_where_a_teacher_hears_one_and_absent_where_none_does() -> None:
    heard = targets_of(row("emogator_soft", "vocal_burst"), snore=2.0, sneeze=-4.0)
    assert heard.weights[COLUMN["snore"]] == 0
    assert heard.weights[COLUMN["sneeze"]] == 1
    elsewhere = targets_of(row("esc10", "noise"), snore=2.0)
    assert elsewhere.weights[COLUMN["snore"]] == 1
    unlabelled = replace(row("unlabelled"), source_id="coswara_20200413:a/breathing-deep.wav")
    assert targets_of(unlabelled, snore=2.0).weights[COLUMN["snore"]] == 0


def test_throat_clearing_is_unknown_where_the_teachers_hear_a_cough_that_nobody_labelled() -> None:
    heard = targets_of(row("unlabelled"), throat_clear=2.0, cough_heard=2.0)
    assert heard.weights[COLUMN["throat_clear"]] == 0
    assert targets_of(row("unlabelled"), throat_clear=2.0).weights[COLUMN["throat_clear"]] == 1


def test_an_unlabelled_clips_coughs_are_what_the_teacher_hears() -> None:
    unlabelled = targets_of(row("unlabelled"), cough=0.9)
    assert unlabelled.events[COLUMN["cough"]] == pytest.approx(1 / (1 + np.exp(6.0)))
