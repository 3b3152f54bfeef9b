"""The training loop: learning, interruption, resuming and refusal."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from core.errors import DataError, OutputError
from distill.checkpoints import load_checkpoint, save_checkpoint
from distill.folders import locked
from distill.training import loop
from distill.training.loop import train
from distill.training.schedule import TrainingSettings
from distill.training.state import Run
from tests.distill.training import small_run
from tests.distill.training.small_run import batch_at

SETTINGS = small_run.SETTINGS.model_copy(update={"ema_decay": 0.9})


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))


def loss_of(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    loss = (model(batch[0]) - batch[1]).square().mean()
    return {"loss": loss, "doubled": 2 * loss}


def run(folder: Path, settings: TrainingSettings = SETTINGS, loss=loss_of, **more) -> Path:
    return train(small_model(), loss, batch_at, settings, folder, provenance={"commit": "abc"}, **more)


def logged_losses(folder: Path) -> list[tuple[int, float]]:
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(record["step"], record["loss"]) for record in records if "loss" in record]


def interrupted_at(step: int, number: int):
    calls = []

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        calls.append(1)
        if len(calls) == step:
            os.kill(os.getpid(), number)
        return loss_of(model, batch)

    return loss


def assert_same_end(a: Path, b: Path) -> None:
    assert logged_losses(a) == logged_losses(b)
    ours, theirs = load_checkpoint(a / "final.pt").model_state, load_checkpoint(b / "final.pt").model_state
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_training_lowers_the_loss_and_logs_every_loss(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"steps": 300, "learning_rate": 0.05, "log_every_steps": 50})
    run(tmp_path, settings)
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert records[-1]["loss"] < 0.5 * records[0]["loss"]
    assert records[0]["doubled"] == pytest.approx(2 * records[0]["loss"])
    assert set(records[0]) == {"step", "loss", "doubled", "lr", "clips_per_s", "waiting_share", "elapsed_s"}
    assert [record["step"] for record in records] == [50, 100, 150, 200, 250, 300]


def test_the_share_of_waiting_is_that_of_the_steps_time_since_the_last_row(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_s = 0.0

    def passing(seconds: float) -> None:
        nonlocal clock_s
        clock_s += seconds

    def slow_batches() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            passing(3.0)
            yield batch_at(0)

    monkeypatch.setattr(loop.time, "perf_counter", lambda: clock_s)
    state = Run(small_model(), SETTINGS)
    for learning_s, share in ((1.0, 0.75), (3.0, 0.5)):
        for _ in range(2):
            loop._timed_step(state, slow_batches(), lambda *both, s=learning_s: passing(s) or loss_of(*both))
        assert state.take_waiting_share() == pytest.approx(share)
    assert state.elapsed_s == pytest.approx(20.0)


def test_tensorboard_gets_the_numbers_of_the_log(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with pytest.raises(SystemExit):
        run(tmp_path, loss=interrupted_at(10, signal.SIGTERM))
    run(tmp_path, on_checkpoint=lambda step, _: {"auroc": step / 20})
    board = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    ours = [(event.step, event.value) for event in board.Scalars("loss")]
    assert [step for step, _ in ours] == [step for step, _ in logged_losses(tmp_path)]
    assert [loss for _, loss in ours] == pytest.approx([loss for _, loss in logged_losses(tmp_path)])
    assert [event.value for event in board.Scalars("auroc")] == pytest.approx([0.75, 1.0])


def test_training_goes_on_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    run(tmp_path)
    assert not (tmp_path / "tensorboard").exists()
    assert logged_losses(tmp_path)[-1][0] == 20


def test_a_run_stopped_by_sigterm_and_resumed_equals_an_unbroken_one(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    with pytest.raises(SystemExit) as stop:
        run(tmp_path / "broken", loss=interrupted_at(10, signal.SIGTERM))
    assert stop.value.code == 143
    assert load_checkpoint(tmp_path / "broken" / "latest.pt").training_state["step"] == 10
    assert not (tmp_path / "broken" / "final.pt").exists()
    run(tmp_path / "broken")
    assert_same_end(tmp_path / "broken", tmp_path / "whole")


@pytest.mark.long
def test_a_run_killed_between_checkpoints_and_resumed_equals_an_unbroken_one(tmp_path: Path) -> None:
    script = (
        "import importlib.util, pathlib, signal, sys;"
        f"spec = importlib.util.spec_from_file_location('t', {__file__!r}); t = importlib.util.module_from_spec(spec);"
        "spec.loader.exec_module(t);"
        "t.run(pathlib.Path(sys.argv[1]), loss=t.interrupted_at(14, signal.SIGKILL))"
    )
    root = Path(__file__).parents[3]
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "broken")], cwd=root, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert logged_losses(tmp_path / "broken")[-1][0] == 12
    assert load_checkpoint(tmp_path / "broken" / "latest.pt").training_state["step"] == 10
    run(tmp_path / "broken")
    run(tmp_path / "whole")
    assert_same_end(tmp_path / "broken", tmp_path / "whole")


def steps_in_numbers(step: int, _: nn.Module) -> dict[str, float]:
    return {"auroc": step / 20}


KILLED = """
import importlib.util, os, pathlib, signal, sys
spec = importlib.util.spec_from_file_location("t", sys.argv[1])
t = importlib.util.module_from_spec(spec)
spec.loader.exec_module(t)
save = t.loop.save_checkpoint

def killed(path, **content):
    if sys.argv[3] == "after":
        save(path, **content)
    if path.name == "latest.pt" and content["training_state"]["step"] == 10:
        os.kill(os.getpid(), signal.SIGKILL)
    save(path, **content)

t.loop.save_checkpoint = killed
t.run(pathlib.Path(sys.argv[2]), on_checkpoint=t.steps_in_numbers)
"""


@pytest.mark.long
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_around_a_checkpoint_leaves_no_line_out_of_the_log(tmp_path: Path, moment: str) -> None:
    arguments = [__file__, str(tmp_path / "broken"), moment]
    root = Path(__file__).parents[3]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], cwd=root, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    run(tmp_path / "broken", on_checkpoint=steps_in_numbers)
    run(tmp_path / "whole", on_checkpoint=steps_in_numbers)
    assert_same_end(tmp_path / "broken", tmp_path / "whole")
    for folder in ("broken", "whole"):
        records = [json.loads(line) for line in (tmp_path / folder / "log.jsonl").read_text().splitlines()]
        assert [record["auroc"] for record in records if "auroc" in record] == [0.25, 0.5, 0.75, 1.0]


def test_a_stop_at_a_step_that_is_told_leaves_no_line_out_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        run(tmp_path, loss=interrupted_at(15, signal.SIGTERM), on_checkpoint=steps_in_numbers)
    run(tmp_path, on_checkpoint=steps_in_numbers)
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "loss" in record] == [3, 6, 9, 12, 15, 18, 20]
    assert [record["step"] for record in records if "auroc" in record] == [5, 10, 15, 20]


def test_a_half_written_log_line_is_dropped_on_resuming(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        run(tmp_path / "broken", loss=interrupted_at(10, signal.SIGINT))
    with (tmp_path / "broken" / "log.jsonl").open("a") as file:
        file.write('{"step": 1')
    run(tmp_path / "broken")
    assert [step for step, _ in logged_losses(tmp_path / "broken")] == [3, 6, 9, 12, 15, 18, 20]


def test_a_closed_terminal_ends_a_training_with_its_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=str(128 + signal.SIGHUP)):
        run(tmp_path, loss=interrupted_at(10, signal.SIGHUP))
    assert load_checkpoint(tmp_path / "latest.pt").training_state["step"] == 10


def test_the_signal_handlers_are_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run(tmp_path)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_resuming_with_another_setting_is_refused_by_its_name(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(DataError, match=r"latest\.pt was made with weight_decay = 0\.05, not 0\.1"):
        run(tmp_path, SETTINGS.model_copy(update={"weight_decay": 0.1}))
    assert json.loads((tmp_path / "settings.json").read_text())["weight_decay"] == 0.05


def test_a_run_begun_before_settings_were_added_goes_on_with_their_defaults(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    run(tmp_path / "old", time_limit_s=1e-9)
    path = tmp_path / "old" / "latest.pt"
    old = load_checkpoint(path)
    settings = {key: value for key, value in old.settings.items() if key not in ("clip_norm", "compile", "sharding")}
    save_checkpoint(path, **{**vars(old), "settings": settings})
    with pytest.raises(DataError, match=r"was made with clip_norm = 1\.0, not 2\.0"):
        run(tmp_path / "old", SETTINGS.model_copy(update={"clip_norm": 2.0}))
    run(tmp_path / "old")
    ours, theirs = (load_checkpoint(tmp_path / name / "final.pt").model_state for name in ("old", "whole"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_setting_that_was_removed_since_is_named(tmp_path: Path) -> None:
    run(tmp_path)
    old = load_checkpoint(tmp_path / "latest.pt")
    save_checkpoint(tmp_path / "latest.pt", **{**vars(old), "settings": {**old.settings, "momentum": 0.9}})
    with pytest.raises(DataError, match=r"latest\.pt was made with momentum = 0\.9, not None"):
        run(tmp_path)


def test_a_run_that_would_go_on_elsewhere_in_its_data_is_refused(tmp_path: Path) -> None:
    run(tmp_path, position_at=lambda step: {"world_size": 2, "clip": 4 * step})
    assert load_checkpoint(tmp_path / "latest.pt").training_state["position"] == {"world_size": 2, "clip": 80}
    with pytest.raises(DataError, match=r"latest\.pt was made with world_size = 2, not 1: choose another run folder"):
        run(tmp_path, position_at=lambda step: {"world_size": 1, "clip": 8 * step})


def test_resuming_with_other_data_is_refused_but_another_commit_goes_on(tmp_path: Path) -> None:
    def begun(folder: Path, **provenance) -> Path:
        return train(small_model(), loss_of, batch_at, SETTINGS, folder, provenance=provenance, time_limit_s=1e-9)

    begun(tmp_path, commit="abc", store_sha256="1")
    with pytest.raises(DataError, match=r"latest\.pt was made with store_sha256 = '1', not '2': choose another run"):
        begun(tmp_path, commit="abc", store_sha256="2")
    begun(tmp_path, commit="def", store_sha256="1", added_since="x")


def test_a_run_folder_that_another_process_holds_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(OutputError, match="is being written by another process; wait for it to end"):
        run(tmp_path)
    assert list(tmp_path.iterdir()) == []
    run(tmp_path)


def test_resuming_with_another_model_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(DataError, match=r"latest\.pt does not fit this model"):
        train(nn.Linear(6, 1), loss_of, batch_at, SETTINGS, tmp_path, provenance={})


def test_a_finished_run_is_returned_without_training(tmp_path: Path) -> None:
    final = run(tmp_path)
    log = (tmp_path / "log.jsonl").read_text()

    def never(model: nn.Module, batch: object) -> dict[str, Tensor]:
        raise AssertionError("a finished run took another step")

    assert run(tmp_path, loss=never) == final
    assert (tmp_path / "log.jsonl").read_text() == log


def test_the_final_checkpoint_holds_the_averaged_weights(tmp_path: Path) -> None:
    run(tmp_path)
    latest, final = load_checkpoint(tmp_path / "latest.pt"), load_checkpoint(tmp_path / "final.pt")
    assert torch.equal(final.model_state["0.weight"], latest.training_state["average"]["0.weight"])
    assert not torch.equal(final.model_state["0.weight"], latest.model_state["0.weight"])
    assert final.model_state["1.num_batches_tracked"] == 20
    assert final.provenance == {"commit": "abc"}
    assert final.settings["steps"] == 20


def test_the_callback_sees_averaged_weights_in_evaluation_mode_and_leaves_training_alone(tmp_path: Path) -> None:
    seen: list[tuple[int, Tensor]] = []

    def look(step: int, model: nn.Module) -> dict[str, float]:
        assert not model.training
        seen.append((step, model[0].weight.clone()))
        return {"auroc": step / 20}

    run(tmp_path / "looked", on_checkpoint=look)
    run(tmp_path / "plain")
    assert_same_end(tmp_path / "looked", tmp_path / "plain")
    assert [step for step, _ in seen] == [5, 10, 15, 20]
    assert torch.equal(seen[-1][1], load_checkpoint(tmp_path / "looked" / "final.pt").model_state["0.weight"])
    records = [json.loads(line) for line in (tmp_path / "looked" / "log.jsonl").read_text().splitlines()]
    assert [record["auroc"] for record in records if "auroc" in record] == [0.25, 0.5, 0.75, 1.0]


def test_averaged_weights_are_kept_along_the_way_and_change_nothing_that_is_learnt(tmp_path):
    plain = load_checkpoint(run(tmp_path / "plain")).model_state
    kept = run(tmp_path / "kept", SETTINGS.model_copy(update={"keep_every_steps": 8}))
    assert sorted(path.name for path in (tmp_path / "kept").glob("step_*")) == ["step_0000008.pt", "step_0000016.pt"]
    assert all(torch.equal(value, plain[name]) for name, value in load_checkpoint(kept).model_state.items())
    half_way = load_checkpoint(tmp_path / "kept" / "step_0000008.pt")
    assert half_way.training_state["step"] == 8
    assert not torch.equal(half_way.model_state["0.weight"], plain["0.weight"])


def test_the_time_limit_ends_the_run_with_a_final_checkpoint(tmp_path: Path) -> None:
    final = run(tmp_path, time_limit_s=1e-9)
    assert load_checkpoint(final).training_state["step"] == 1
    assert [step for step, _ in logged_losses(tmp_path)] == [1]


def test_no_weight_decay_on_biases_and_norms(tmp_path: Path) -> None:
    strong = SETTINGS.model_copy(update={"weight_decay": 50.0, "ema_decay": None})

    def loss_without_gradient(model: nn.Module, batch: object) -> dict[str, Tensor]:
        return {"loss": sum((0.0 * p).sum() for p in model.parameters())}

    final = load_checkpoint(run(tmp_path, strong, loss_without_gradient)).model_state
    before = small_model().state_dict()
    assert torch.equal(final["0.bias"], before["0.bias"])
    assert torch.equal(final["1.weight"], before["1.weight"])
    assert final["0.weight"].abs().max() < 0.5 * before["0.weight"].abs().max()


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    calls = []

    def breaking(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        calls.append(1)
        return {"loss": loss_of(model, batch)["loss"] * (float("nan") if len(calls) == 8 else 1.0)}

    with pytest.raises(DataError, match="the loss is nan at step 7"):
        run(tmp_path, loss=breaking)
    assert load_checkpoint(tmp_path / "latest.pt").training_state["step"] == 5


def test_a_run_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"the folder .* cannot be made"):
        run(tmp_path / "file" / "run")
