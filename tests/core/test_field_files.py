"""The files that recorders, phones and people make are read, or refused for the true reason."""

import pytest

pytest.importorskip("av", reason="a phone reads WAV only")
pytest.importorskip("soundfile", reason="a phone has no library that writes sound")

from tests.field_bench import Bench, Recipe, missing_builders
from tests.field_files import RECIPES

pytestmark = pytest.mark.skipif(bool(missing_builders()), reason=f"{' and '.join(missing_builders())} cannot be found")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("field"))


@pytest.mark.long
@pytest.mark.parametrize("recipe", RECIPES, ids=[f"{recipe.kind}: {recipe.name}" for recipe in RECIPES])
def test_what_people_record_is_read_or_refused_for_the_true_reason(bench: Bench, recipe: Recipe) -> None:
    screened = recipe.run(bench)
    assert not recipe.wrong(screened), (screened.facts, screened.errors)
