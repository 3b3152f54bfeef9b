import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from core.audio import write_wav
from distill.checkpoints import load_checkpoint, save_checkpoint
from distill.corpus.labels import EVENT_LABELS
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore
from distill.distillation import command
from distill.distillation.quantization_aware import (
    ActivationRange,
    activation_grid,
    activation_ranges,
    bake,
    learnt_ranges,
    on_weight_grid,
    with_int8_rounding,
)
from distill.distillation.targets import all_crops, save_values
from distill.models.student import Student, StudentSettings, load_student

SMALL = StudentSettings(
    stem_channels=4,
    channels=(4, 8, 8),
    expanded_channels=(8, 8, 8),
    strides=((1, 2), (2, 2), (1, 1)),
    pooled_channels=8,
)
LAYERS = {"stem", "widen", "blocks.2", *(f"blocks.{n}.{part}" for n in range(3) for part in ("expand", "project"))}


def student_that_has_heard_sound(seed: int = 0) -> Student:
    torch.manual_seed(seed)
    student = Student(SMALL).train()
    for module in student.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    with torch.no_grad():
        student(0.1 * torch.randn(8, 32_000))
    return student.eval()


@pytest.fixture(scope="module")
def rounded() -> Student:
    """A student with int8's rounding in it that has seen the ranges of a batch."""
    rounded = with_int8_rounding(student_that_has_heard_sound(), momentum=0.9).train()
    with torch.no_grad():
        rounded(0.1 * torch.randn(16, 32_000, generator=torch.Generator().manual_seed(1)))
    return rounded.eval()


def test_weights_are_whole_steps_of_their_channels_largest_and_the_gradient_passes():
    weight = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    on_grid = on_weight_grid(weight)
    steps = on_grid / (weight.detach().abs().amax(dim=(1, 2, 3), keepdim=True) / 127)
    assert torch.allclose(steps, steps.round(), atol=1e-4)
    assert float(steps.detach().abs().amax()) == pytest.approx(127, abs=1e-4)
    assert (on_grid - weight).detach().abs().max() <= 0.51 * weight.detach().abs().max() / 127
    on_grid.sum().backward()
    assert torch.equal(weight.grad, torch.ones_like(weight))
    assert torch.equal(on_weight_grid(on_grid.detach()), on_grid)


def test_a_channel_of_zeros_stays_zero():
    assert torch.equal(on_weight_grid(torch.zeros(2, 4)), torch.zeros(2, 4))


def test_a_range_follows_the_batches_holds_zero_and_rests_in_evaluation():
    rounding = ActivationRange(momentum=0.75).train()
    rounding(torch.tensor([[1.0, 4.0]]))
    assert (float(rounding.low), float(rounding.high)) == (0.0, 4.0)
    rounding(torch.tensor([[-2.0, 8.0]]))
    assert (float(rounding.low), float(rounding.high)) == (-0.5, 5.0)
    rounding.eval()(torch.tensor([[100.0]]))
    assert (float(rounding.low), float(rounding.high)) == (-0.5, 5.0)


def test_an_activation_is_rounded_to_one_of_256_levels_of_its_range_and_saturates():
    rounding = ActivationRange(momentum=0.0).train()
    rounding(torch.tensor([-1.0, 3.0]))
    scale, zero = activation_grid(rounding.low, rounding.high)
    values = rounding.eval()(torch.linspace(-5, 5, 4001))
    levels = values / scale + zero
    assert torch.allclose(levels, levels.round(), atol=1e-3)
    assert (levels.round().min(), levels.round().max()) == (-128, 127)
    assert len(values.unique()) == 256
    assert 0.0 in values


def test_the_rounded_student_says_what_the_student_says(rounded):
    student, clips = student_that_has_heard_sound(), 0.1 * torch.randn(8, 32_000)
    with torch.no_grad():
        ours, theirs = student(clips), rounded(clips)
    assert torch.cosine_similarity(ours.embedding, theirs.embedding).min() > 0.98
    assert not torch.equal(ours.embedding, theirs.embedding)


def test_every_activation_that_is_int8_has_a_range_and_relu6_bounds_it(rounded):
    ranges = dict(activation_ranges(rounded.body))
    assert set(ranges) == LAYERS
    for path, bounds in ranges.items():
        assert bounds.low <= 0 <= bounds.high
        if path.endswith(("stem", "widen", "expand")):
            assert bounds.low == 0 and bounds.high <= 6


def test_baked_weights_are_what_the_rounded_student_computes_with(rounded):
    baked, clips = bake(rounded), 0.1 * torch.randn(4, 32_000)
    assert baked.state_dict().keys() == Student(SMALL).state_dict().keys()
    exact = copy.deepcopy(rounded)
    for module in exact.modules():
        if isinstance(module, ActivationRange):
            module.forward = lambda activation: activation
    exact.body.embedding.forward = lambda features: baked.body.embedding(features)
    with torch.no_grad():
        for ours, theirs in zip(baked(clips), exact(clips), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-5)
    again = bake(with_int8_rounding(baked, momentum=0.9))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in baked.state_dict().items())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """A store, targets and settings in a folder, and the checkpoint of a student to tune."""
    folder, rng = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    rows = []
    for number in range(8):
        role, label = ("validation" if number >= 6 else "train"), ("cough", "noise")[number % 2]
        path = f"pack/{number}.wav"
        (folder / "data" / "pack").mkdir(parents=True, exist_ok=True)
        rows.append(ManifestRow(path, "pack", f"s{number}", f"s{number}", 2.0, (label,), 1, "CC0", role, True))
        write_wav(folder / "data" / path, (0.1 * rng.standard_normal(32_000)).astype(np.float32))
    store = WaveformStore.build(rows, folder / "data", folder / "store")
    crops = all_crops(store)
    save_values(folder / "targets" / "events.npz", crops, np.zeros((len(crops), len(EVENT_LABELS))))
    save_values(folder / "targets" / "embeddings.npz", crops, rng.standard_normal((len(crops), 5)))
    (folder / "config.toml").write_text(
        "[training]\nsteps=4\nbatch_size=4\nlearning_rate=1e-3\nwarmup_steps=1\ncheckpoint_every_steps=4\n"
        "log_every_steps=4\nseed=1\nthreads=1\nema_decay=0.9\n"
    )
    save_student(student_that_has_heard_sound(), folder / "from.pt")
    return folder


def save_student(student: Student, path: Path) -> None:
    state = {f"student.{name}": value for name, value in student.state_dict().items()}
    settings = {"student": student.settings.model_dump(mode="json")}
    save_checkpoint(path, model_state=state, training_state={}, settings=settings, provenance={})


def tune(corpus: Path, out: Path, *arguments: object, start: str = "from.pt") -> object:
    paths = ["--config", corpus / "config.toml", "--store", corpus / "store", "--targets", corpus / "targets"]
    return CliRunner().invoke(
        command.app, [str(part) for part in (*paths, "--out", out, "--qat", corpus / start, *arguments)]
    )


def test_the_command_leaves_a_plain_student_on_the_grid_and_the_ranges_it_learnt(corpus, tmp_path):
    result = tune(corpus, tmp_path / "run")
    assert result.exit_code == 0, result.output
    checkpoint = load_checkpoint(tmp_path / "run" / "final.pt")
    assert set(learnt_ranges(checkpoint)) == LAYERS
    assert len(checkpoint.settings["quantization"]["from_sha256"]) == 64
    student = load_student(tmp_path / "run" / "final.pt")
    assert student.settings == SMALL
    for convolution in (student.body.blocks[0].expand[0], student.body.widen[0], student.body.embedding):
        assert torch.equal(on_weight_grid(convolution.weight.detach()), convolution.weight.detach())
    before = load_student(corpus / "from.pt")
    assert not torch.equal(student.body.activity.weight, before.body.activity.weight)


def test_tuning_that_was_interrupted_ends_like_an_unbroken_one_and_refuses_another_start(corpus, tmp_path):
    assert tune(corpus, tmp_path / "whole").exit_code == 0
    assert tune(corpus, tmp_path / "cut", "--time-limit-s", "0.000001").exit_code == 0
    assert load_checkpoint(tmp_path / "cut" / "latest.pt").training_state["step"] == 1
    save_student(student_that_has_heard_sound(seed=9), corpus / "other.pt")
    refused = tune(corpus, tmp_path / "cut", start="other.pt")
    assert refused.exit_code == 2
    assert tune(corpus, tmp_path / "cut").exit_code == 0
    whole, cut = (load_checkpoint(tmp_path / name / "final.pt").model_state for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())


def test_a_start_that_is_no_student_or_holds_nan_is_refused_and_nothing_is_written(corpus, tmp_path):
    student = student_that_has_heard_sound()
    student.body.events.bias.data[0] = float("nan")
    save_student(student, corpus / "nan.pt")
    save_checkpoint(corpus / "mae.pt", model_state={}, training_state={}, settings={}, provenance={})
    for start in ("nan.pt", "mae.pt", "absent.pt"):
        refused = tune(corpus, tmp_path / "run", start=start)
        assert refused.exit_code == 2
        assert refused.stderr.count("\n") == 1 and start in refused.stderr
        assert not (tmp_path / "run").exists()
