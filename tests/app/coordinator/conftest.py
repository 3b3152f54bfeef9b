"""A study's keys and the folder that it is made of."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.study import PRACTICE_STUDY
from core.private_keys import generate_key, generate_sealing_key


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with the two keys that ``tussis-study keygen`` makes."""
    folder = tmp_path / "keys"
    folder.mkdir()
    generate_key(folder / "signing.key", None)
    generate_sealing_key(folder / "handover.key", None)
    return folder


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    """The folder of a study in earnest, as a person begins it: a copy of the practice study with another id."""
    shutil.copytree(PRACTICE_STUDY, tmp_path / "cough_study")
    edit_draft(tmp_path / "cough_study", lambda fields: fields.update(id="cough_study", is_practice=False))
    return tmp_path / "cough_study"


def edit_draft(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change study.json as a person does in an editor."""
    fields = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    edit(fields)
    (folder / "study.json").write_text(json.dumps(fields), encoding="utf-8")
