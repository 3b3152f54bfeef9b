"""Made-up people with scores of a known quality."""

import numpy as np
import pytest

from distill.evaluation.report.items import Item, Question


def made_up_people(n=80, effect=2.0, seed=0, covariates=None, channel=None, n_each=1):
    """Items of `n` people, half of them positive; log-odds are normal with the classes `effect` apart."""
    generator, items = np.random.default_rng(seed), []
    for i in range(n * n_each):
        person = i // n_each
        logit = generator.normal() + effect * (person % 2) - effect / 2
        about = covariates(person, generator) if covariates else {}
        made = channel(person, generator) if channel else {"level_dbfs": generator.normal(), "format": "wav"}
        score = float(1 / (1 + np.exp(-logit)))
        items.append(Item(f"{i}.wav", f"p{person:03d}", bool(person % 2), score, "", about, made))
    return items


@pytest.fixture
def people():
    """Makes items: how many people, effect, seed, covariates(person, generator), channel(person, generator)."""
    return made_up_people


@pytest.fixture
def question():
    """Makes a question of items."""

    def made(items, threshold=0.5):
        return Question("cough", "a test", items, threshold)

    return made
