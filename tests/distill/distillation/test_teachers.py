"""The embedding teachers by their names: one, several, and what is refused."""

from pathlib import Path

import pytest
import torch

from core.errors import DataError, SettingsError
from distill.checkpoints import save_checkpoint
from distill.distillation.teachers import CombinedTeacher, load_teacher
from distill.models.hear_front_end import HearFrontEnd
from distill.models.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderSettings

SHIPPED = Path(__file__).parents[3] / "core" / "bundles" / "default" / "model.tflite"


def save_autoencoder(path: Path) -> MaskedAutoencoder:
    torch.manual_seed(0)
    autoencoder = MaskedAutoencoder(MaskedAutoencoderSettings())
    settings = {"model": autoencoder.settings.model_dump(mode="json")}
    save_checkpoint(path, model_state=autoencoder.state_dict(), training_state={}, settings=settings, provenance={})
    return autoencoder


def test_the_teacher_is_the_checkpoints_encoder_behind_hears_front_end(tmp_path: Path) -> None:
    autoencoder = save_autoencoder(tmp_path / "final.pt").eval()
    teacher = load_teacher(f"mae:{tmp_path / 'final.pt'}")
    waveform = 0.1 * torch.randn(2, 32_000)
    embedding = teacher.embed(waveform)
    assert embedding.shape == (2, teacher.embedding_size) == (2, 24 * 192)
    assert not embedding.requires_grad
    assert torch.allclose(embedding, autoencoder.encoder(HearFrontEnd()(waveform)), atol=1e-6)


@pytest.mark.parametrize("spec", ["hear", "mae:", "other:path", "", "+mae:a", "MAE:a"])
def test_an_unknown_teacher_is_refused(spec: str) -> None:
    with pytest.raises(SettingsError, match="expected mae:PATH"):
        load_teacher(spec)


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pt", model_state={}, training_state={}, settings={}, provenance={})
    with pytest.raises(DataError, match=r"a\.pt is not a checkpoint of a masked autoencoder"):
        load_teacher(f"mae:{tmp_path / 'a.pt'}")


def test_teachers_joined_by_plus_embed_side_by_side(tmp_path: Path) -> None:
    folder = tmp_path / "runs+more"  # a plus in a path joins nothing
    folder.mkdir()
    save_autoencoder(folder / "final.pt")
    ours, shipped = f"mae:{folder / 'final.pt'}", f"tflite:{SHIPPED}"
    teacher = load_teacher(f"{ours}+{shipped}")
    waveform = 0.1 * torch.randn(2, 32_000, generator=torch.Generator().manual_seed(0))
    assert isinstance(teacher, CombinedTeacher)
    assert (teacher.block_sizes, teacher.embedding_size) == ((4608, 512), 5120)
    assert teacher.name == f"{ours}+{shipped}"
    alone = [load_teacher(spec).embed(waveform) for spec in (ours, shipped)]
    assert torch.equal(teacher.embed(waveform), torch.cat(alone, dim=1))


def test_a_fingerprint_is_of_the_weights_and_not_of_their_place(tmp_path: Path) -> None:
    for name in ("a.tflite", "b.tflite"):
        (tmp_path / name).write_bytes(SHIPPED.read_bytes())
    first, second = (load_teacher(f"tflite:{tmp_path / name}") for name in ("a.tflite", "b.tflite"))
    assert first.fingerprint == second.fingerprint
    assert first.name != second.name
    with pytest.raises(SettingsError, match="name the same weights twice"):
        load_teacher(f"tflite:{tmp_path / 'a.tflite'}+tflite:{tmp_path / 'b.tflite'}")
