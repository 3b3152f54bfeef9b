"""Settings: files, variants, overrides, and the sentences of refusals."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SettingsError
from distill.settings import Settings, brief, first_difference, load_settings, write_settings


class Inner(Settings):
    steps: int = 3
    rate: float = 0.5


class Outer(Settings):
    name: str = "plain"
    training: Inner = Inner()
    labels: tuple[str, ...] = ()


def test_a_file_and_overrides_are_merged_with_the_override_winning(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('name = "file"\n[training]\nsteps = 7\nrate = 0.25\n')
    settings = load_settings(Outer, file, ["training.steps=9", 'labels=["cough", "speech"]', "name=by hand"])
    assert settings == Outer(name="by hand", training=Inner(steps=9, rate=0.25), labels=("cough", "speech"))


def test_a_variant_holds_only_its_differences(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text('name = "base"\n[training]\nsteps = 7\nrate = 0.25\n')
    (tmp_path / "variant.toml").write_text('extends = "base.toml"\n[training]\nsteps = 8\n')
    settings = load_settings(Outer, tmp_path / "variant.toml", [])
    assert settings == Outer(name="base", training=Inner(steps=8, rate=0.25))


def test_a_file_that_extends_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('extends = "b.toml"\n')
    (tmp_path / "b.toml").write_text('extends = "a.toml"\n')
    with pytest.raises(SettingsError, match="extends itself"):
        load_settings(Outer, tmp_path / "a.toml", [])


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("training.stpes=3", "unknown setting 'training.stpes'"),
        ("training.steps=many", "the setting 'training.steps' is 'many': it should be a valid integer"),
        ("steps", "not of the form key=value"),
        ("=3", "not of the form key=value"),
        ("a..b=3", "not of the form key=value"),
    ],
)
def test_a_wrong_override_is_refused_by_name(override: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as error:
        load_settings(Outer, None, [override])
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_an_override_below_a_single_value_is_refused() -> None:
    with pytest.raises(SettingsError, match="goes below 'name'"):
        load_settings(Outer, None, ["name=x", "name.sub=3"])


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"name = 1\nname = 2\n"])
def test_a_file_that_is_not_toml_is_refused_with_its_path(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"bad\.toml is not valid TOML"):
        load_settings(Outer, file, [])


def test_an_absent_file_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read the settings file .*absent\.toml"):
        load_settings(Outer, tmp_path / "absent.toml", [])


def test_resolved_settings_are_read_back_the_same(tmp_path: Path) -> None:
    settings = Outer(labels=("cough",))
    write_settings(settings, tmp_path / "settings.json")
    assert Outer.model_validate(json.loads((tmp_path / "settings.json").read_text())) == settings


def test_the_first_difference_is_named_with_its_full_key() -> None:
    ours = Outer(training=Inner(steps=4)).model_dump(mode="json")
    theirs = Outer().model_dump(mode="json")
    assert first_difference(ours, theirs) == ("training.steps", 4, 3)
    assert first_difference(ours, theirs, frozenset({"steps"})) is None
    assert first_difference({}, {"old": 1}) == ("old", None, 1)


@given(st.text())
def test_any_override_is_taken_or_refused_but_never_crashes(override: str) -> None:
    try:
        settings = load_settings(Outer, None, [override])
    except SettingsError:
        return
    assert isinstance(settings, Outer)


def test_a_value_of_pages_is_shown_by_its_beginning():
    assert brief("a" * 500) == "'" + "a" * 76 + "..."
    assert brief("a\nb") == "'a\\nb'"
