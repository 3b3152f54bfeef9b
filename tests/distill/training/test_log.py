"""The log of a training run: its numbers, in log.jsonl and in plain lines."""

import json
from pathlib import Path

import pytest

from distill.training.log import LossMeans, TrainingLog
from tests.distill.training import small_run

SETTINGS = small_run.SETTINGS.model_copy(update={"peak_tflops": 0.001})


def test_the_log_tells_the_part_of_the_peak_that_is_used_and_the_share_of_waiting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    means = LossMeans({"loss": 6.0}, 3)
    with TrainingLog(tmp_path / "log.jsonl", SETTINGS, 0, flops_per_clip=5e4) as log:
        log.losses(3, means, 0.01, 1.5, 0.25)
    record = json.loads((tmp_path / "log.jsonl").read_text())
    assert record["mfu"] == pytest.approx(record["clips_per_s"] * 5e4 / 1e9, rel=0.01, abs=1e-4)
    assert {name: record[name] for name in ("loss", "waiting_share", "elapsed_s")} == {
        "loss": 2.0,
        "waiting_share": 0.25,
        "elapsed_s": 1.5,
    }
    line = capsys.readouterr().out
    assert f"{record['mfu']:.1%} MFU" in line and "25% waiting" in line
