"""Where training embeddings lie: other sound is told from them, held-out people are not."""

import numpy as np
import pytest

from core.errors import ProbeError
from core.json_fields import Fields
from core.probing.domain import parse_domain
from distill.probes.domain_fit import OtherSound, fit_domain
from distill.probes.probe_file import _domain_object

MIXING = np.random.default_rng(9).normal(size=(12, 512))


def embeddings(n, seed, shift=0.0):
    generator = np.random.default_rng(seed)
    hidden = generator.normal(size=(n, 12))
    hidden[:, 0] += shift
    return hidden @ MIXING + 0.5 * generator.normal(size=(n, 512))


@pytest.fixture(scope="module")
def fitted():
    own, subjects = embeddings(120, 0), [f"s{i // 2}" for i in range(120)]
    noisy = embeddings(40, 2) + np.random.default_rng(3).normal(size=(40, 512))
    unlike = {
        "music": OtherSound(embeddings(40, 1, shift=9.0), 40),
        "another microphone": OtherSound(noisy, 2),
        "the same sound": OtherSound(own[:60], 60, subjects[:60]),
        "a few": OtherSound(own[:3], 3),
        "speech": None,
    }
    return fit_domain(own, subjects, unlike)


@pytest.mark.long
def test_other_sound_is_told_from_the_training_and_left_unscored(fitted):
    told = fitted.measured["unlike"]
    for name in ("music", "another microphone"):
        assert told[name]["auroc"] > 0.99 and told[name]["unscored_fraction"] > 0.9
    assert told["another microphone"]["n_selected"] == 2
    assert told["a few"] == {"n": 3, "auroc": None, "unscored_fraction": None, "n_selected": 3}
    assert told["speech"] is None


def test_the_training_sound_itself_is_compared_without_its_subjects(fitted):
    assert fitted.measured["unlike"]["the same sound"]["auroc"] == pytest.approx(0.5, abs=0.08)


def test_few_new_people_are_far(fitted):
    new = fitted.distance(embeddings(400, 5))
    assert np.mean(new > fitted.threshold) < 0.12
    assert 0.4 < np.median(new) < 1.5


def test_core_reads_the_domain_and_measures_the_same_distance(fitted):
    fields = Fields(_domain_object(fitted), "x.json", ProbeError, "domain.")
    read = parse_domain(fields, fitted.mean, fitted.scale)
    some = embeddings(20, 6)
    np.testing.assert_allclose(read.distance(some), fitted.distance(some), rtol=1e-6)
    assert read.threshold == fitted.threshold


@pytest.mark.long
def test_fewer_recordings_than_directions_do_no_harm():
    domain = fit_domain(embeddings(12, 7), [f"s{i}" for i in range(12)])
    assert np.isfinite(domain.distance(embeddings(5, 8))).all()
