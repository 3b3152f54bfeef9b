"""Tests that a phone's maker is told from its name, and that each has steps."""

import pytest

from app.wording.battery_words import MAKERS, OTHER, maker_of


@pytest.mark.parametrize(
    ("device", "maker"),
    [
        ("Xiaomi Redmi 9C", "xiaomi"),
        ("POCO X3", "xiaomi"),
        ("samsung SM-A125F", "samsung"),
        ("HUAWEI Y6p", "huawei"),
        ("realme RMX3085", "oppo"),
        ("OPPO CPH2269", "oppo"),
        ("vivo 2026", "vivo"),
        ("TECNO KG5j", "transsion"),
        ("INFINIX X6511", "transsion"),
        ("itel L6006", "transsion"),
        ("Google Pixel 8", OTHER),
        ("x86_64 computer", OTHER),
    ],
)
def test_the_maker_is_told_from_the_name_of_the_phone(device, maker):
    assert maker_of(device) == maker


def test_every_maker_has_steps_that_are_sentences():
    for maker in MAKERS.values():
        steps = [say() for say in maker.steps]
        assert len(steps) >= 2 and all(step.endswith(".") and len(step.split()) <= 25 for step in steps)
