"""Checkpoints: what goes in comes out, and anything else is refused with a sentence."""

import errno
import hashlib
import os
from pathlib import Path

import pytest
import torch

from core.errors import DataError, OutputError
from distill.checkpoints import checkpoint_sha256, load_checkpoint, save_checkpoint, source_commit


def save_example(path: Path) -> None:
    save_checkpoint(
        path,
        model_state={"weight": torch.arange(6.0).reshape(2, 3)},
        training_state={"step": 5, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}},
        settings={"training": {"steps": 9}},
        provenance={"commit": "abc"},
    )


def test_a_checkpoint_is_read_back_exactly(tmp_path: Path) -> None:
    save_example(tmp_path / "a.pt")
    checkpoint = load_checkpoint(tmp_path / "a.pt")
    assert torch.equal(checkpoint.model_state["weight"], torch.arange(6.0).reshape(2, 3))
    assert checkpoint.training_state["step"] == 5
    assert torch.equal(checkpoint.training_state["optimizer"]["state"][0]["exp_avg"], torch.ones(3))
    assert checkpoint.settings == {"training": {"steps": 9}}
    assert checkpoint.provenance == {"commit": "abc"}


@pytest.mark.parametrize("kept_fraction", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, kept_fraction: float) -> None:
    save_example(tmp_path / "a.pt")
    content = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(content[: int(len(content) * kept_fraction)])
    with pytest.raises(DataError, match=r"a\.pt is not a readable checkpoint"):
        load_checkpoint(tmp_path / "a.pt")


def test_another_torch_file_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "a.pt")
    with pytest.raises(DataError, match="not a checkpoint of the format"):
        load_checkpoint(tmp_path / "a.pt")


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Dangerous:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "was_run"),)

    torch.save({"format": "tussis.checkpoint/1", "model_state": Dangerous()}, tmp_path / "a.pt")
    with pytest.raises(DataError, match="not a readable checkpoint"):
        load_checkpoint(tmp_path / "a.pt")
    assert not (tmp_path / "was_run").exists()


def test_an_absent_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no checkpoint .*absent\.pt"):
        load_checkpoint(tmp_path / "absent.pt")
    with pytest.raises(DataError, match=r"absent\.pt"):
        checkpoint_sha256(tmp_path / "absent.pt")


def test_a_failed_write_leaves_the_old_checkpoint_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_example(tmp_path / "a.pt")
    before = (tmp_path / "a.pt").read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OutputError, match=r"cannot write the checkpoint .*a\.pt.*No space left"):
        save_example(tmp_path / "a.pt")
    assert (tmp_path / "a.pt").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.pt"]


def test_the_hash_is_that_of_the_file(tmp_path: Path) -> None:
    save_example(tmp_path / "a.pt")
    assert checkpoint_sha256(tmp_path / "a.pt") == hashlib.sha256((tmp_path / "a.pt").read_bytes()).hexdigest()
    assert [file.name for file in tmp_path.iterdir()] == ["a.pt"]


def test_the_source_is_named_by_its_commit() -> None:
    assert len(source_commit().removesuffix("+changes")) in (40, len("unknown"))


def test_a_disk_that_is_full_in_the_middle_is_told_in_words(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write the checkpoint .*a\.pt: File too large$"):
            save_checkpoint(
                tmp_path / "a.pt",
                model_state={"w": torch.zeros(100_000)},
                training_state={},
                settings={},
                provenance={},
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_checkpoint_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "final.pt").write_bytes(b"RIFF")
    with pytest.raises(OutputError, match=r"final\.pt exists"):
        save_checkpoint(tmp_path / "final.pt", model_state={}, training_state={}, settings={}, provenance={})
    (tmp_path / "final.pt").unlink()
    for _ in range(2):
        save_checkpoint(tmp_path / "final.pt", model_state={}, training_state={}, settings={}, provenance={})
