"""tussis-pretrain, run as a command on a small store: what it leaves, how it resumes, what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from distill.checkpoints import load_checkpoint
from distill.corpus.manifests import ManifestRow, write_manifest
from distill.corpus.waveform_store import WaveformStore
from distill.distillation.teachers import load_teacher
from distill.models.hear_front_end import HearFrontEnd
from distill.models.masked_autoencoder import MaskedAutoencoder, Reconstruction
from distill.pretraining.command import app
from distill.pretraining.pretrain import Batches, PretrainSettings, sampler_of
from distill.settings import load_settings
from distill.training.device import autocast

CONFIGS = Path(__file__).parents[3] / "distill" / "configs"
SHORT = [
    "training.steps=4",
    "training.batch_size=2",
    "training.warmup_steps=1",
    "training.checkpoint_every_steps=2",
    "training.log_every_steps=1",
    "training.threads=1",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    roles = ("train", "train", "validation", "test")
    rows = [
        ManifestRow(f"pack/{i}.wav", "pack", f"s{i}", f"p{i}", 3.0, (), None, "CC0", role, False)
        for i, role in enumerate(roles)
    ]
    noise = np.random.default_rng(0).normal(0, 3000, len(rows) * 48_000).astype(np.int16)
    noise.tofile(folder / "waveforms.i16")
    np.save(folder / "offsets.npy", np.arange(len(rows) + 1) * 48_000)
    write_manifest(rows, folder / "manifest.csv")
    return folder


def pretrain(store: Path, out: Path, *more: str, config: Path = CONFIGS / "pretrain_tiny.toml"):
    arguments = ["--config", str(config), "--store", str(store), "--out", str(out), *SHORT, *more]
    return CliRunner().invoke(app, arguments)


@pytest.mark.long
def test_the_command_leaves_a_teacher_a_log_and_pictures(store: Path, tmp_path: Path) -> None:
    result = pretrain(store, tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1].endswith("final.pt")
    records = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "loss" in record] == [1, 2, 3, 4]
    assert [record["step"] for record in records if "validation_loss" in record] == [2, 4]
    for name in ("reconstructions_0000002.png", "reconstructions_0000004.png"):
        assert (tmp_path / "run" / name).read_bytes()[:4] == b"\x89PNG"
    teacher = load_teacher(f"mae:{tmp_path / 'run' / 'final.pt'}")
    embedding = teacher.embed(0.1 * torch.randn(2, 32_000))
    assert embedding.shape == (2, 3 * 8 * 192)
    assert torch.isfinite(embedding).all()


@pytest.mark.long
def test_the_checkpoint_names_its_packs_settings_and_commit(store: Path, tmp_path: Path) -> None:
    pretrain(store, tmp_path / "run", "training.steps=2")
    checkpoint = load_checkpoint(tmp_path / "run" / "final.pt")
    assert checkpoint.provenance["packs"] == [
        {"name": "pack", "recordings": 2, "hours": pytest.approx(6 / 3600, abs=1e-3), "licences": ["CC0"]}
    ]
    assert checkpoint.provenance["commit"]
    assert checkpoint.settings == json.loads((tmp_path / "run" / "settings.json").read_text())
    assert checkpoint.settings["model"]["size"] == "tiny"
    assert checkpoint.settings["clips"]["background_probability"] == 0.25


@pytest.mark.long
def test_a_run_ended_by_its_time_limit_goes_on_to_the_same_end(store: Path, tmp_path: Path) -> None:
    once = "training.checkpoint_every_steps=4"
    assert pretrain(store, tmp_path / "parts", once, "--time-limit-s", "0.001").exit_code == 0
    assert load_checkpoint(tmp_path / "parts" / "final.pt").training_state["step"] == 1
    assert pretrain(store, tmp_path / "parts", once).exit_code == 0
    assert pretrain(store, tmp_path / "whole", once).exit_code == 0
    ours = load_checkpoint(tmp_path / "parts" / "final.pt").model_state
    theirs = load_checkpoint(tmp_path / "whole" / "final.pt").model_state
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.long
def test_parts_of_a_batch_draw_the_masks_of_the_whole_batch(store: Path, tmp_path: Path) -> None:
    losses = []
    for accumulate_steps in (1, 2):
        out = tmp_path / str(accumulate_steps)
        result = pretrain(store, out, "training.batch_size=4", f"training.accumulate_steps={accumulate_steps}")
        assert result.exit_code == 0, result.output
        records = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        losses.append([record["loss"] for record in records if "loss" in record])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


@pytest.mark.long
def test_with_clean_targets_what_is_predicted_is_the_clip_before_its_channel(store: Path, tmp_path: Path) -> None:
    losses = {}
    for clean in ("true", "false"):
        out = tmp_path / clean
        assert pretrain(store, out, f"clips.clean_targets={clean}").exit_code == 0
        records = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        losses[clean] = [record["loss"] for record in records if "loss" in record]
    assert losses["true"][0] != losses["false"][0]
    assert losses["true"][0] == pytest.approx(losses["false"][0], rel=0.3)


class SeeingModel(torch.nn.Module):
    """Keeps the images that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> Reconstruction:
        self.seen.append(images)
        return Reconstruction(images.mean(), images, images)


def test_in_bfloat16_the_front_end_stays_exact() -> None:
    front_end, model, waveforms = HearFrontEnd(), SeeingModel(), 0.1 * torch.randn(2, 32_000)
    with autocast(torch.device("cpu"), "bfloat16"):
        Batches(front_end, source=None).loss_of(model, waveforms)
    assert torch.equal(model.seen[0], front_end(waveforms))


def test_clips_made_within_the_step_are_those_made_ahead_of_it(store: Path) -> None:
    settings = load_settings(PretrainSettings, CONFIGS / "pretrain_tiny.toml", SHORT)
    sampler, model = sampler_of(settings, WaveformStore.open(store)), SeeingModel()
    ahead, within = (Batches(HearFrontEnd(), sampler) for _ in range(2))
    within._drawn = sampler  # as on a GPU
    for batches in (ahead, within):
        batches.loss_of(model, batches.at(3))
    assert ahead.at(3).shape == (2, 32_000) != within.at(3).shape
    assert torch.equal(*model.seen)


@pytest.mark.long
def test_pretraining_in_bfloat16_with_a_known_peak_logs_its_use(store: Path, tmp_path: Path) -> None:
    result = pretrain(store, tmp_path / "run", "training.precision=bfloat16", "training.peak_tflops=0.1")
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[0])
    gflops_per_clip = MaskedAutoencoder(PretrainSettings.model_fields["model"].default).training_flops / 1e9
    rounded_off = 0.05 * gflops_per_clip / 100 + 1e-4  # the log's clips_per_s has one digit after the point
    assert record["mfu"] == pytest.approx(record["clips_per_s"] * gflops_per_clip / 100, rel=1e-3, abs=rounded_off)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["training.stpes=3"], "unknown setting 'training.stpes'"),
        (["training.warmup_steps=9"], "fewer warm-up steps (9) than steps (4)"),
        (["model.size=huge"], "the setting 'model.size'"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_status_2(
    store: Path, tmp_path: Path, more: list[str], sentence: str
) -> None:
    result = pretrain(store, tmp_path / "run", *more)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stderr.startswith("tussis-pretrain: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_an_absent_store_is_one_sentence_and_status_2(tmp_path: Path) -> None:
    result = pretrain(tmp_path / "nowhere", tmp_path / "run")
    assert result.exit_code == 2
    assert "nowhere" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("config", sorted(CONFIGS.glob("pretrain_*.toml")), ids=lambda path: path.stem)
def test_every_shipped_configuration_is_valid(config: Path) -> None:
    settings = load_settings(PretrainSettings, config)
    assert settings.training.checkpoint_every_steps <= settings.training.steps
