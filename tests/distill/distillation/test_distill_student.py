from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from core.audio import write_wav
from distill.checkpoints import load_checkpoint
from distill.corpus.labels import EVENT_LABELS
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore
from distill.distillation import command
from distill.distillation.distill_student import DistilledStudent, LossWeights
from distill.distillation.losses import relational
from distill.distillation.soundscapes import Batch
from distill.distillation.targets import all_crops, save_values
from distill.distillation.validation import validate
from distill.models.student import StudentSettings, load_student
from distill.training.device import autocast

SMALL = StudentSettings(
    stem_channels=4, channels=(4, 8), expanded_channels=(8, 8), strides=((1, 2), (2, 2)), pooled_channels=8
)
SMALL_OVERRIDES = [
    "student.stem_channels=4",
    "student.channels=[4, 8]",
    "student.expanded_channels=[8, 8]",
    "student.strides=[[1, 2], [2, 2]]",
    "student.pooled_channels=8",
]


def row(number: int, role: str, label: str) -> ManifestRow:
    fold = 5 if role == "validation" else 1
    path = f"pack/{number}.wav"
    return ManifestRow(path, "pack", f"s{number}", f"s{number}", 2.0, (label,), fold, "CC0", role, True)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """A store and targets in a folder: synthesized bursts called cough, tones called noise."""
    folder, rng = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    (folder / "data" / "pack").mkdir(parents=True)
    rows = []
    for number in range(16):
        label = ("cough", "noise")[number % 2]
        rows.append(row(number, "validation" if number >= 12 else "train", label))
        waveform = 0.3 * np.sin(2 * np.pi * rng.uniform(200, 2000) * np.arange(32_000) / 16_000)
        if label == "cough":
            waveform = 0.002 * rng.standard_normal(32_000)
            waveform[12_800:17_000] += 0.3 * rng.standard_normal(4_200)
        write_wav(folder / "data" / rows[-1].path, waveform.astype(np.float32))
    store = WaveformStore.build(rows, folder / "data", folder / "store")
    crops = all_crops(store)
    save_values(folder / "targets" / "events.npz", crops, np.zeros((len(crops), len(EVENT_LABELS))))
    save_values(folder / "targets" / "embeddings.npz", crops, rng.standard_normal((len(crops), 5)))
    return folder


def run_command(corpus: Path, out: Path, *overrides: str) -> object:
    config = corpus / "config.toml"
    config.write_text(
        "[training]\nsteps=30\nbatch_size=8\nlearning_rate=1e-2\nwarmup_steps=2\ncheckpoint_every_steps=30\n"
        "log_every_steps=10\nseed=1\nthreads=1\n"
    )
    paths = ["--config", config, "--store", corpus / "store", "--targets", corpus / "targets", "--out", out]
    return CliRunner().invoke(command.app, [str(part) for part in (*paths, *SMALL_OVERRIDES, *overrides)])


def test_a_run_does_not_go_on_with_other_sound_or_other_targets(corpus, tmp_path):
    begun = run_command(corpus, tmp_path / "run", "training.steps=3")
    assert begun.exit_code == 0, begun.output
    for name, change in (
        ("store/waveforms.i16", lambda content: content[::-1]),
        ("targets/events.npz", lambda content: content[:-2] + b"\1\0x"),  # the same arrays in another file
    ):
        content = (corpus / name).read_bytes()
        try:
            (corpus / name).write_bytes(change(content))
            refused = run_command(corpus, tmp_path / "run", "training.steps=3")
        finally:
            (corpus / name).write_bytes(content)
        assert refused.exit_code == 2 and "latest.pt was made with" in refused.stderr and "_sha256" in refused.stderr
    assert run_command(corpus, tmp_path / "run", "training.steps=3").exit_code == 0


def test_the_command_learns_to_tell_bursts_from_tones_and_says_what_it_was_made_from(corpus, tmp_path):
    result = run_command(corpus, tmp_path / "run")
    assert result.exit_code == 0, result.output
    checkpoint = load_checkpoint(tmp_path / "run" / "final.pt")
    assert checkpoint.provenance["packs"] == [{"name": "pack", "recordings": 12, "hours": 0.007, "licences": ["CC0"]}]
    assert not any(name.startswith("teacher_head") for name in checkpoint.model_state)
    assert any(name.startswith("teacher_head") for name in load_checkpoint(tmp_path / "run" / "latest.pt").model_state)
    student = load_student(tmp_path / "run" / "final.pt")
    store = WaveformStore.open(corpus / "store")
    assert validate(student, store)["cough_auroc"] == 1.0


def four_clips() -> Batch:
    generator = torch.Generator().manual_seed(0)
    waveform, teacher = 0.1 * torch.randn(4, 32_000, generator=generator), torch.randn(4, 5, generator=generator)
    events, activity = torch.rand(4, len(EVENT_LABELS), generator=generator), torch.rand(4, 50, generator=generator)
    return Batch(waveform, events, torch.ones_like(events), activity, torch.ones(4), teacher, torch.ones(4))


def test_in_bfloat16_only_the_body_learns_in_it() -> None:
    model, batch, seen = DistilledStudent(SMALL, 5), four_clips(), []
    model.student.body.register_forward_hook(lambda _, inputs, outputs: seen.append((inputs[0], outputs.embedding)))
    with autocast(torch.device("cpu"), "bfloat16"):
        losses = model.losses(batch, LossWeights())
    ((features, embedding),) = seen
    assert torch.equal(features, model.student.front_end(batch.waveform))
    assert embedding.dtype == torch.bfloat16
    assert {value.dtype for value in losses.values()} == {torch.float32}
    expected = relational(embedding.float(), batch.teacher, batch.teacher_weight)
    assert losses["relational"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_compiled_it_is_the_body_that_is_compiled_and_the_losses_are_the_same() -> None:
    graphs = []

    def counting(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    torch.manual_seed(0)
    model, batch = DistilledStudent(SMALL, 5), four_clips()
    plain = {name: loss.item() for name, loss in model.losses(batch, LossWeights()).items()}
    names = list(model.state_dict())
    model.compile(backend=counting)
    compiled = {name: loss.item() for name, loss in model.losses(batch, LossWeights()).items()}
    assert len(graphs) == 1
    assert compiled == pytest.approx(plain, rel=1e-5)
    assert list(model.state_dict()) == names


@pytest.mark.gpu
def test_on_a_gpu_the_command_learns_in_bfloat16_and_is_validated_there(corpus, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.cuda.reset_peak_memory_stats()
    result = run_command(corpus, tmp_path / "run", "training.precision=bfloat16")
    assert result.exit_code == 0, result.output
    assert torch.cuda.max_memory_allocated() > 0
    student = load_student(tmp_path / "run" / "final.pt")
    assert validate(student.cuda(), WaveformStore.open(corpus / "store"))["cough_auroc"] == 1.0


def test_the_command_refuses_an_unknown_setting_and_targets_of_another_store(corpus, tmp_path):
    refused = run_command(corpus, tmp_path / "a", "training.speed=3")
    assert refused.exit_code == 2
    save_values(tmp_path / "targets" / "events.npz", [(99, 0)], np.zeros((1, len(EVENT_LABELS))))
    save_values(tmp_path / "targets" / "embeddings.npz", [(99, 0)], np.zeros((1, 5)))
    refused = run_command(corpus, tmp_path / "b", "--targets", str(tmp_path / "targets"))
    assert refused.exit_code == 2


def test_several_processes_that_would_write_to_one_folder_are_refused(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")
    refused = run_command(corpus, tmp_path / "run")
    assert refused.exit_code == 2
    assert refused.stderr == "tussis-distill: the training runs in one process, not in 8: start it without torchrun\n"
    assert not (tmp_path / "run").exists()


def test_unknown_loss_weights_are_an_error():
    with pytest.raises(ValueError, match="contrast"):
        LossWeights(contrast=1.0)
