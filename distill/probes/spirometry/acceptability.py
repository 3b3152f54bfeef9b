"""Says whether a forced blow is acceptable and three are repeatable, as far as their sound shows it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from core.audio import SAMPLE_RATE_HZ
from core.errors import DataError
from core.quality import CLIPPED_FROM
from distill.probes.spirometry.blow_sound import Place
from distill.probes.spirometry.flow_from_sound import (
    HOP_S,
    LEAST_HEARD_S,
    HeardBlow,
    RecoveredLung,
    flow_of,
    hear_blow,
    recovered_lung,
)
from distill.probes.spirometry.forced_expiration import Spirogram, measure_flow

# Graham et al., ATS/ERS 2019, doi:10.1164/rccm.201908-1590ST: tables 7 (acceptability), 8 (repeatability), 10 (grades).
MAX_BACK_EXTRAPOLATED_SHARE = 0.05  # of FVC; the absolute 100 mL needs a spirometer
MAX_PEAK_AFTER_S = 0.15
REPEATABLE_L, REPEATABLE_SMALL_L, SMALL_FVC_L = 0.150, 0.100, 1.0
WANTED_BLOWS = 3
_GRADES = ((0.150, 3, "A"), (0.150, 2, "B"), (0.200, 2, "C"), (0.250, 2, "D"))
# What has no counterpart at a spirometer. Simulated blows that are let fade stood 4 to 10 dB above the pause 150 ms
# before their end, those that a closed throat ended 11 to 40 dB.
MIN_PEAK_DB = 20.0
BEFORE_END_S, MAX_BEFORE_END_DB = 0.15, 12.0
COUGH_DB = 6.0  # that the level falls and rises again: a blow only falls
MAX_CLIPPED_SAMPLES = 16  # 1 ms

REASON_SENTENCES = {
    "not_heard": "No blow stands out after a pause; wait for half a second of quiet, then blow at once.",
    "too_quiet": f"The blow stands out by less than {MIN_PEAK_DB:g} dB; blow harder or closer, in a quieter room.",
    "overdriven": "The blow drives the microphone beyond its range; hold the phone further away.",
    "hesitant_start": "The blow does not begin with its peak flow; blow out at once, as hard as possible.",
    "cough": "The flow stops and bursts again within the first second, as a cough does; blow again.",
    "early_end": "The blow ends abruptly, as when the throat closes; keep blowing until nothing comes.",
    "too_short": f"The blow is heard for less than {LEAST_HEARD_S:g} s; keep blowing until nothing comes.",
}


@dataclass(frozen=True)
class JudgedBlow:
    """One blow: why it is not acceptable (words of `REASON_SENTENCES`), and what was recovered, None if not heard."""

    reasons: tuple[str, ...]
    lung: RecoveredLung | None

    @property
    def is_acceptable(self) -> bool:
        """Whether sound shows no reason against the blow."""
        return not self.reasons


@dataclass(frozen=True)
class JudgedSession:
    """Several blows of one person.

    ``fev1_l`` and ``fvc_l`` are the largest of acceptable blows, None where none is known. ``fev1_gap_l`` and
    ``fvc_gap_l`` lie between the two largest. ``grade`` is ATS/ERS 2019's for FEV1, A to F. ``sentence`` tells it.
    """

    n_acceptable: int
    fev1_l: float | None
    fvc_l: float | None
    fev1_gap_l: float | None
    fvc_gap_l: float | None
    grade: str
    is_repeatable: bool
    sentence: str


def judge_blow(waveform: ArrayLike, place: Place) -> JudgedBlow:
    """Judge the blow in a recording at 16 kHz; a recording without one is `not_heard`, not an error."""
    try:
        blow = hear_blow(waveform)
    except DataError:
        return JudgedBlow(("not_heard",), None)
    flow = flow_of(blow, place)
    within = np.asarray(waveform)[round(blow.start * HOP_S * SAMPLE_RATE_HZ) : round(blow.end * HOP_S * SAMPLE_RATE_HZ)]
    signs = {
        "too_quiet": blow.levels_db.max() < MIN_PEAK_DB,
        "overdriven": np.count_nonzero(np.abs(within) >= CLIPPED_FROM) > MAX_CLIPPED_SAMPLES,
        "hesitant_start": _is_hesitant(measure_flow(flow)),
        "cough": _has_cough(blow),
        "early_end": _ends_early(blow),
        "too_short": blow.heard_s < LEAST_HEARD_S,
    }
    return JudgedBlow(tuple(reason for reason, is_so in signs.items() if is_so), recovered_lung(blow, flow))


def judge_session(blows: Sequence[JudgedBlow]) -> JudgedSession:
    """Judge whether the acceptable blows of one person agree."""
    lungs = [blow.lung for blow in blows if blow.is_acceptable and blow.lung is not None]
    fev1s_l = sorted((lung.fev1_l for lung in lungs if lung.fev1_l is not None), reverse=True)
    fvcs_l = sorted((lung.fvc_l for lung in lungs if lung.fvc_l is not None), reverse=True)
    fev1_gap_l, fvc_gap_l = _gap(fev1s_l), _gap(fvcs_l)
    limit_l = REPEATABLE_SMALL_L if fvcs_l and fvcs_l[0] <= SMALL_FVC_L else REPEATABLE_L
    is_repeatable = all(gap_l is not None and gap_l <= limit_l for gap_l in (fev1_gap_l, fvc_gap_l))
    grade = _grade(len(fev1s_l), fev1_gap_l, limit_l)
    return JudgedSession(
        n_acceptable=len(lungs),
        fev1_l=fev1s_l[0] if fev1s_l else None,
        fvc_l=fvcs_l[0] if fvcs_l else None,
        fev1_gap_l=fev1_gap_l,
        fvc_gap_l=fvc_gap_l,
        grade=grade,
        is_repeatable=is_repeatable and len(lungs) >= WANTED_BLOWS,
        sentence=_sentence(len(lungs), len(blows), {"FEV1": fev1_gap_l, "FVC": fvc_gap_l}, limit_l),
    )


def _is_hesitant(spirogram: Spirogram) -> bool:
    share = spirogram.back_extrapolated_l / spirogram.lung.fvc_l
    return share > MAX_BACK_EXTRAPOLATED_SHARE or spirogram.peak_after_s > MAX_PEAK_AFTER_S


def _has_cough(blow: HeardBlow) -> bool:
    """Whether the level falls and then rises again by `COUGH_DB` within the first second."""
    levels_db = blow.levels_db[blow.start :][: round(1.0 / HOP_S)]
    fallen_db = np.maximum.accumulate(levels_db) - levels_db
    risen_db = np.maximum.accumulate(levels_db[::-1])[::-1] - levels_db
    return bool((np.minimum(fallen_db, risen_db) >= COUGH_DB).any())


def _ends_early(blow: HeardBlow) -> bool:
    """Whether the blow was still loud shortly before its end, or the recording ends within it."""
    if blow.end >= len(blow.power):
        return True
    before = max(blow.start, blow.end - round(BEFORE_END_S / HOP_S))
    return bool(blow.levels_db[before] > MAX_BEFORE_END_DB)


def _gap(values_l: Sequence[float]) -> float | None:
    return values_l[0] - values_l[1] if len(values_l) > 1 else None


def _grade(n_blows: int, gap_l: float | None, limit_l: float) -> str:
    if gap_l is None:
        return "E" if n_blows else "F"
    scale = limit_l / REPEATABLE_L
    return next((grade for most_l, n, grade in _GRADES if n_blows >= n and gap_l <= most_l * scale), "E")


def _sentence(n_acceptable: int, n_blows: int, gaps_l: dict[str, float | None], limit_l: float) -> str:
    if n_acceptable < WANTED_BLOWS:
        return f"{n_acceptable} of {n_blows} blows are acceptable; {WANTED_BLOWS} are needed."
    if unknown := [name for name, gap_l in gaps_l.items() if gap_l is None]:
        return f"Too much of the blows is inaudible to compare their {' and '.join(unknown)}."
    words = " and ".join(f"{name} by {1000 * gap_l:.0f} mL" for name, gap_l in gaps_l.items() if gap_l is not None)
    is_within = all(gap_l is not None and gap_l <= limit_l for gap_l in gaps_l.values())
    verdict = "repeatable" if is_within else "not repeatable"
    return f"The two largest blows differ in {words}: {verdict} (at most {1000 * limit_l:.0f} mL)."


def reasons_in_words(blow: JudgedBlow) -> tuple[str, ...]:
    """A sentence for each reason."""
    return tuple(REASON_SENTENCES[reason] for reason in blow.reasons)
