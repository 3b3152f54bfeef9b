"""Compares a lung with the race-neutral GLI Global 2022 reference: predicted value, lower limit of normal, z-score."""

from dataclasses import dataclass
from functools import cache
from math import exp, floor, isfinite, log
from pathlib import Path

from core.errors import DataError
from distill.corpus.subjects import SEXES
from distill.corpus.tables import read_table

# Bowerman et al., Am J Respir Crit Care Med 2023;207(6):768, doi:10.1164/rccm.202205-0963OC: the published numbers.
# M = exp(a0 + a1 ln(height) + a2 ln(age) + spline), S = exp(p0 + p1 ln(age) + spline), L = l0 + l1 ln(age)
SPLINES = Path(__file__).with_name("gli_2022_splines.csv")
AGES_YEARS = (3.0, 95.0)
HEIGHTS_CM = (50.0, 250.0)  # a height in metres or in inches of a child is refused
LOWER_LIMIT_Z = -1.645  # the 5th percentile


@dataclass(frozen=True)
class _Coefficients:
    a0: float
    a1: float
    a2: float
    p0: float
    p1: float
    l0: float
    l1: float = 0.0


_COEFFICIENTS = {
    ("fev1_l", "male"): _Coefficients(-11.399108, 2.462664, -0.011394, -2.256278, 0.080729, 1.22703),
    ("fvc_l", "male"): _Coefficients(-12.629131, 2.727421, 0.009174, -2.195595, 0.068466, 0.9346),
    ("fev1_fvc", "male"): _Coefficients(1.022608, -0.218592, -0.027586, -2.882025, 0.068889, 3.8243, -0.3328),
    ("fev1_l", "female"): _Coefficients(-10.901689, 2.385928, -0.076386, -2.364047, 0.129402, 1.21388),
    ("fvc_l", "female"): _Coefficients(-12.055901, 2.621579, -0.035975, -2.310148, 0.120428, 0.899),
    ("fev1_fvc", "female"): _Coefficients(0.9189568, -0.1840671, -0.0461306, -3.171582, 0.144358, 6.6490, -0.9920),
}
MEASURES = ("fev1_l", "fvc_l", "fev1_fvc")


@dataclass(frozen=True)
class Reference:
    """What healthy people of one age, sex and height have of one measure.

    ``median`` (M) in the measure's unit, ``variation`` (S, a share of the median) and ``skewness`` (L).
    """

    median: float
    variation: float
    skewness: float

    @property
    def lower_limit(self) -> float:
        """The lower limit of normal, which 5 % of the healthy are below."""
        return self.value_at(LOWER_LIMIT_Z)

    def value_at(self, z_score: float) -> float:
        """The value that has this z-score.

        Raises
        ------
        DataError
            If no value above 0 has it.
        """
        base = 1 + z_score * self.skewness * self.variation
        if not base > 0:
            raise DataError(f"no value above 0 has the z-score {z_score:g}")
        return self.median * base ** (1 / self.skewness)

    def z_score(self, value: float) -> float:
        """How many standard deviations a measured value above 0 lies from the median."""
        if not 0 < value < float("inf"):
            raise DataError(f"a z-score needs a measured value above 0, got {value:g}")
        return ((value / self.median) ** self.skewness - 1) / (self.skewness * self.variation)

    def percent_predicted(self, value: float) -> float:
        """A measured value in per cent of the median."""
        return 100 * value / self.median


def gli_reference(measure: str, sex: str, age_years: float, height_cm: float) -> Reference:
    """The reference of one measure; the spline is the one at the age rounded down to a quarter of a year.

    Parameters
    ----------
    measure : "fev1_l", "fvc_l" (litres) or "fev1_fvc" (a ratio, 0 to 1)
    sex : F or M, female or male, in any case
    age_years : 3 to 95
    height_cm : 50 to 250

    Raises
    ------
    DataError
        If the measure or sex is another, or the age or height is out of range.
    """
    known_sex = SEXES.get(sex.strip().lower(), "")
    if (measure, known_sex) not in _COEFFICIENTS:
        raise DataError(f"GLI Global 2022 has {', '.join(MEASURES)} for F and M, not {measure!r} for {sex!r}")
    _check_range("age", age_years, AGES_YEARS, "years")
    _check_range("height", height_cm, HEIGHTS_CM, "cm")
    facts, log_age = _COEFFICIENTS[measure, known_sex], log(age_years)
    m_spline, s_spline = _splines()[measure, known_sex, floor(4 * age_years)]
    return Reference(
        median=exp(facts.a0 + facts.a1 * log(height_cm) + facts.a2 * log_age + m_spline),
        variation=exp(facts.p0 + facts.p1 * log_age + s_spline),
        skewness=facts.l0 + facts.l1 * log_age,
    )


def _check_range(name: str, value: float, limits: tuple[float, float], unit: str) -> None:
    low, high = limits
    if not (isfinite(value) and low <= value <= high):
        raise DataError(f"GLI Global 2022 holds from {low:g} to {high:g} {unit} of {name}, got {value:g} {unit}")


@cache
def _splines() -> dict[tuple[str, str, int], tuple[float, float]]:
    """M and S spline by measure, sex and age in quarters of a year."""
    columns = ("measure", "sex", "age_years", "m_spline", "s_spline")
    return {
        (row["measure"], row["sex"], round(4 * row.number("age_years"))): (
            row.number("m_spline"),
            row.number("s_spline"),
        )
        for row in read_table(SPLINES, columns)
    }
