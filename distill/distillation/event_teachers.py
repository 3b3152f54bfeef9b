"""Joins what two event teachers and the packs' labels say of a clip into its event targets."""

from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from distill.corpus.labels import EVENT_LABELS, positives
from distill.corpus.manifests import ManifestRow
from distill.settings import Settings

_COUGH = EVENT_LABELS.index("cough")
_THROAT_CLEAR = EVENT_LABELS.index("throat_clear")
_SMALLEST_SCORE = 1e-5


class LabelBlend(Settings):
    """How much each teacher counts for a label: ``mn04_weight`` for mn04_as, the rest for YAMNet.

    A teacher's logit of its ``centre`` becomes a probability of one half. What a teacher calls 2 % may be the clearest
    case that it ever hears; without a centre a student would learn next to nothing from it.
    """

    mn04_weight: float = Field(default=0.5, ge=0, le=1)
    mn04_centre: float = 0.0
    yamnet_centre: float = 0.0


class EventTeacherSettings(Settings):
    """How the teachers' logits become event targets, and where labels or teachers are not taken at their word.

    ``temperature`` divides the blended logits. Of ``unsure_packs`` the teachers' ``unsure_labels`` count only where
    they are below ``unsure_above``: an acted growl is no snore, nor is a deep breath, and a puff is no sneeze. A label
    that one of ``weak_packs`` names counts ``weak_target``; one of ``led_by_teachers`` counts nothing where a pack
    names it, because a few recordings that come again and again are learnt by heart, their label included. The teachers
    hear throat clearings in coughs. So a clip that is labelled cough, from a pack that is not weak, is taken for one at
    most by ``cough_throat_clear``. Where nobody labelled a clip and they hear a cough in it by more than one half,
    whether it is one is unknown.
    """

    labels: dict[Literal[EVENT_LABELS], LabelBlend] = Field(default_factory=dict)
    temperature: float = Field(default=1.0, gt=0)
    unsure_packs: tuple[str, ...] = ("emogator", "emogator_mined", "emogator_soft", "coswara_20200413")
    unsure_labels: tuple[Literal[EVENT_LABELS], ...] = ("sneeze", "snore")
    unsure_above: float = Field(default=0.2, ge=0, le=1)
    led_by_teachers: tuple[Literal[EVENT_LABELS], ...] = ()
    weak_packs: tuple[str, ...] = ("emogator_mined",)
    weak_target: float = Field(default=0.75, ge=0, le=1)
    cough_throat_clear: float = Field(default=0.1, ge=0, le=1)

    def of(self, label: str, mn04_weight: float | None = None) -> LabelBlend:
        """The blend of a label; with `mn04_weight`, that weight in place of its own."""
        blend = self.labels.get(label, LabelBlend())
        return blend if mn04_weight is None else blend.model_copy(update={"mn04_weight": mn04_weight})


class EventTargets(NamedTuple):
    """``events`` in [0, 1] and ``weights``, both (n, n_events), float32; a weight of 0 says that nobody knows."""

    events: np.ndarray
    weights: np.ndarray


def blended(yamnet_scores: np.ndarray, mn04_logits: np.ndarray, settings: EventTeacherSettings) -> np.ndarray:
    """Join the scores of YAMNet and the logits of mn04_as, both (..., n_events), to probabilities of that shape."""
    blends = [settings.of(label) for label in EVENT_LABELS]
    weight, mn04_centre, yamnet_centre = (
        np.array([getattr(blend, name) for blend in blends], dtype=np.float32)
        for name in ("mn04_weight", "mn04_centre", "yamnet_centre")
    )
    scores = np.clip(yamnet_scores.astype(np.float32), _SMALLEST_SCORE, 1 - _SMALLEST_SCORE)
    yamnet_logits = np.log(scores / (1 - scores))
    logits = weight * (mn04_logits - mn04_centre) + (1 - weight) * (yamnet_logits - yamnet_centre)
    return (1 / (1 + np.exp(-logits / settings.temperature))).astype(np.float32)


def event_targets(
    rows: list[ManifestRow],
    composed: EventTargets,
    yamnet_scores: np.ndarray,
    mn04_logits: np.ndarray,
    settings: EventTeacherSettings,
) -> EventTargets:
    """Join labels and teachers for clips whose main sounds are `rows`.

    Parameters
    ----------
    rows : the recordings of the n clips' main sounds
    composed : what the composition knows of the clips; used where the main sound is labelled, and for coughs
    yamnet_scores, mn04_logits : arrays, shape (n, n_events), of the clips as they sound
    """
    events = blended(yamnet_scores, mn04_logits, settings)
    weights = np.ones_like(events)
    unsure = [EVENT_LABELS.index(label) for label in settings.unsure_labels]
    led = [EVENT_LABELS.index(label) for label in settings.led_by_teachers]
    for n, row in enumerate(rows):
        if row.pack in settings.unsure_packs or row.source_id.partition(":")[0] in settings.unsure_packs:
            weights[n, unsure] = events[n, unsure] < settings.unsure_above
        if not row.labelled:
            weights[n, _THROAT_CLEAR] = events[n, _COUGH] < 0.5
            continue
        is_weak = row.pack in settings.weak_packs
        if composed.events[n, _COUGH] == 1 and not is_weak:
            events[n, _THROAT_CLEAR] = min(events[n, _THROAT_CLEAR], settings.cough_throat_clear)
        named = positives(row.labels) * (settings.weak_target if is_weak else 1.0)
        named[[_COUGH, *led]] = 0
        events[n] = np.maximum(events[n], named)
        weights[n] = np.maximum(weights[n], named > 0)
        cough = composed.events[n, _COUGH]
        events[n, _COUGH] = settings.weak_target if is_weak and cough == 1 else cough
        weights[n, _COUGH] = composed.weights[n, _COUGH] > 0
    return EventTargets(events, weights)
