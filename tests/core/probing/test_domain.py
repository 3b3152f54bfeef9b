"""The distance from the training embeddings, and its form in a probe file."""

import numpy as np
import pytest

from core.errors import ProbeError
from core.json_fields import Fields
from core.probing.domain import Domain, parse_domain


def random_domain(n_directions=3, seed=0):
    generator = np.random.default_rng(seed)
    directions = np.linalg.qr(generator.normal(size=(512, n_directions)))[0].T
    variances = np.array([9.0, 4.0, 2.0])[:n_directions]
    mean, scale = generator.normal(size=512), generator.uniform(0.5, 2, size=512)
    return Domain(mean, scale, directions, variances, 0.5, 1.5, {})


def test_the_distance_is_mahalanobis_with_the_whole_covariance():
    domain = random_domain()
    covariance = domain.directions.T @ np.diag(domain.variances - 0.5) @ domain.directions + 0.5 * np.eye(512)
    embeddings = np.random.default_rng(1).normal(size=(7, 512)) * 3
    standard = (embeddings - domain.mean) / domain.scale
    expected = np.sqrt(np.sum(standard * np.linalg.solve(covariance, standard.T).T, axis=1) / 512)
    np.testing.assert_allclose(domain.distance(embeddings), expected, rtol=1e-9)
    assert domain.distance(embeddings[2]) == pytest.approx(expected[2])


def test_what_is_drawn_from_the_domain_is_about_1_away():
    domain, generator = random_domain(), np.random.default_rng(2)
    along = generator.normal(size=(400, 3)) * np.sqrt(domain.variances)
    rest = generator.normal(size=(400, 512)) * np.sqrt(0.5)
    standard = rest - rest @ domain.directions.T @ domain.directions + along @ domain.directions
    assert np.mean(domain.distance(domain.mean + standard * domain.scale)) == pytest.approx(1, abs=0.02)


def test_an_embedding_of_any_size_has_a_distance_that_is_a_number():
    assert np.isfinite(random_domain().distance(np.full(512, 3e38, np.float32)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"n_directions": 0}, "domain.n_directions"),
        ({"directions": [1.0] * 511}, "expected a list of 512 numbers"),
        ({"variances": [0.0]}, r"domain.variances\[0\]"),
        ({"rest_variance": 0}, "domain.rest_variance"),
        ({"threshold": -1}, "domain.threshold"),
        ({"measured": {"x": [0] * 300}}, "domain.measured"),
    ],
)
def test_a_domain_with_a_wrong_field_is_refused(lung_probe_content, changes, sentence):
    fields = Fields({**lung_probe_content()["domain"], **changes}, "lungs.json", ProbeError, "domain.")
    with pytest.raises(ProbeError, match=rf"lungs\.json.*{sentence}"):
        parse_domain(fields, np.zeros(512), np.ones(512))
