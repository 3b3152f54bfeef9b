"""Says what a report judges: one question about people or recordings, each with a score or the reason for none."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError

MIN_SUBJECTS = 10  # fewer leave no interval that means anything
MIN_SUBJECTS_PER_CLASS = 3
FEW_POSITIVES = 20


@dataclass(frozen=True)
class Item:
    """A recording, or a person whose recordings are taken together.

    ``score`` is a probability from 0 to 1, None where there is none. ``unscored`` is why the product would give no
    answer, "" where it gives one: inside an abstention band there is a score and no answer. ``covariates`` are text;
    ``channel`` tells how it was recorded, see `distill.evaluation.report.channel`.
    """

    path: str
    subject_id: str
    is_positive: bool
    score: float | None
    unscored: str = ""
    covariates: Mapping[str, str] = field(default_factory=dict)
    channel: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """What is asked of the items: ``name`` (a label or a probe) in ``part``, at the ``threshold`` that is shipped."""

    name: str
    part: str
    items: Sequence[Item]
    threshold: float | None = None
    unit: str = "recording"

    @property
    def scored(self) -> "ScoredItems":
        """The items that have a score."""
        return ScoredItems(tuple(item for item in self.items if item.score is not None))

    @property
    def unscored(self) -> dict[str, int]:
        """How many items have no answer, by reason."""
        return dict(sorted(Counter(item.unscored for item in self.items if item.unscored).items()))


@dataclass(frozen=True, eq=False)
class ScoredItems:
    """Items with a score, as the arrays that metrics take: all of length n."""

    items: tuple[Item, ...]

    @property
    def scores(self) -> NDArray[np.float64]:
        """Probabilities (n,)."""
        return np.array([item.score for item in self.items], dtype=np.float64)

    @property
    def positives(self) -> NDArray[np.bool_]:
        """Which are positive (n,)."""
        return np.array([item.is_positive for item in self.items], dtype=bool)

    @property
    def subjects(self) -> list[str]:
        """Subject ids."""
        return [item.subject_id for item in self.items]


def check_enough(question: Question) -> None:
    """Refuse a question that has too few people, or one class only.

    Raises
    ------
    DataError
        In one sentence with the numbers.
    """
    scored = question.scored
    about = f"{question.name} in {question.part}"
    if not scored.items:
        raise DataError(f"{about} has no {question.unit} with a score among {len(question.items)}")
    if (n := len(set(scored.subjects))) < MIN_SUBJECTS:
        raise DataError(f"{about} has {n} subjects with a score; a report needs at least {MIN_SUBJECTS}")
    for is_positive, word in ((True, "positive"), (False, "negative")):
        n = len({item.subject_id for item in scored.items if item.is_positive == is_positive})
        if n < MIN_SUBJECTS_PER_CLASS:
            raise DataError(
                f"{about} has {n} {word} subjects with a score; a report needs at least {MIN_SUBJECTS_PER_CLASS}"
            )
