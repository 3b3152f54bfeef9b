"""GLI Global 2022: every published test vector, a person worked by hand, and refusals."""

import math
from pathlib import Path

import pytest

from core.errors import DataError
from distill.corpus.tables import read_table
from distill.probes.spirometry.gli_2022 import MEASURES, gli_reference

VECTORS = Path(__file__).resolve().parents[5] / "shared/reference/gli_global_2022/vectors.csv"
SPLINE_M_AT_93, SPLINE_S_AT_93 = -0.347405344782, 0.176520287695  # FEV1, female: the published look-up table
NAMES = {"FEV1": "fev1_l", "FVC": "fvc_l", "FEV1FVC": "fev1_fvc"}


@pytest.mark.skipif(not VECTORS.is_file(), reason="the test vectors of GLI Global 2022 are not here")
def test_every_vector_agrees_to_a_thousandth():
    columns = ("measure", "age_years", "height_m", "sex", "predicted", "lln", "observed", "zscore")
    rows = list(read_table(VECTORS, columns))
    assert len(rows) == 720
    for row in rows:
        reference = gli_reference(
            NAMES[row["measure"]], row["sex"], row.number("age_years"), 100 * row.number("height_m")
        )
        assert reference.median == pytest.approx(row.number("predicted"), abs=1e-6), row.place
        assert reference.lower_limit == pytest.approx(row.number("lln"), abs=1e-6), row.place
        assert reference.z_score(row.number("observed")) == pytest.approx(row.number("zscore"), abs=1e-5), row.place


def test_a_woman_of_93_years_is_as_the_published_equation_worked_by_hand():
    median = math.exp(-10.901689 + 2.385928 * math.log(150) - 0.076386 * math.log(93) + SPLINE_M_AT_93)
    variation = math.exp(-2.364047 + 0.129402 * math.log(93) + SPLINE_S_AT_93)
    reference = gli_reference("fev1_l", " F ", 93.2, 150)
    at_age = gli_reference("fev1_l", "Female", 93.0, 150)
    assert at_age.median == pytest.approx(median, rel=1e-9)
    assert at_age.variation == pytest.approx(variation, rel=1e-9)
    lower_limit = math.exp(math.log(median) + math.log(1 - 1.645 * 1.21388 * variation) / 1.21388)
    assert at_age.lower_limit == pytest.approx(lower_limit, rel=1e-9)
    assert at_age.z_score(1.2) == pytest.approx(((1.2 / median) ** 1.21388 - 1) / (1.21388 * variation), rel=1e-9)
    assert reference.median == pytest.approx(at_age.median * (93.2 / 93) ** -0.076386, rel=1e-9)  # the spline stays


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("sex", ["F", "M"])
@pytest.mark.parametrize("age_years", [3, 17.99, 95])
def test_a_value_has_the_z_score_that_it_was_made_from(measure, sex, age_years):
    reference = gli_reference(measure, sex, age_years, 120)
    for z_score in (-2.5, 0.0, 1.5):
        assert reference.z_score(reference.value_at(z_score)) == pytest.approx(z_score, abs=1e-12)
    assert reference.value_at(0.0) == reference.median
    assert reference.lower_limit < reference.median
    assert reference.percent_predicted(reference.median / 2) == pytest.approx(50)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("fev1_l", "F", 2.9, 100), "from 3 to 95 years of age, got 2.9 years"),
        (("fev1_l", "F", 95.1, 160), "from 3 to 95 years of age"),
        (("fev1_l", "F", float("nan"), 160), "got nan years"),
        (("fvc_l", "M", 40, 1.75), "from 50 to 250 cm of height, got 1.75 cm"),
        (("pef_l_per_s", "M", 40, 175), "fev1_l, fvc_l, fev1_fvc for F and M, not 'pef_l_per_s' for 'M'"),
        (("fev1_l", "x", 40, 175), "not 'fev1_l' for 'x'"),
    ],
)
def test_what_the_equations_do_not_hold_for_is_refused(arguments, sentence):
    with pytest.raises(DataError, match=sentence):
        gli_reference(*arguments)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_value_that_no_lung_has_gets_no_z_score(value):
    with pytest.raises(DataError, match="needs a measured value above 0"):
        gli_reference("fev1_l", "M", 40, 175).z_score(value)
