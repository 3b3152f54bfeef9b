"""Our encoder and Hugging Face's ViTModel: the same weights, the same outputs, and what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx2
import huggingface_hub
import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import ViTConfig, ViTModel

from core.errors import DataError, OutputError
from distill.distillation.teachers import load_teacher
from distill.models.encoder import SIZES, Encoder, EncoderSettings
from distill.models.hear_checkpoint import find_vit_folder, load_vit_folder, save_vit_folder
from distill.models.hear_front_end import HearFrontEnd

TINY = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
HEAR = {
    "image_size": [192, 128],
    "patch_size": 16,
    "num_channels": 1,
    "hidden_act": "gelu_fast",
    "layer_norm_eps": 1e-6,
    "qkv_bias": True,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "pooler_output_size": 512,
    "pooler_act": "linear",
}


def images(n: int = 2) -> Tensor:
    return torch.rand(n, 192, 128, generator=torch.Generator().manual_seed(0))


def write_hear(folder: Path, sizes: dict[str, int]) -> ViTModel:
    """Let transformers write a folder as google/hear-pytorch has it, every weight and bias drawn at random."""
    torch.manual_seed(3)
    model = ViTModel(ViTConfig(**sizes, **HEAR)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model


def assert_same_outputs(encoder: Encoder, model: ViTModel) -> None:
    with torch.inference_mode():
        theirs = model(images()[:, None])
        tokens = encoder.encode(encoder.patch_tokens(images()))
        assert (tokens - theirs.last_hidden_state).abs().max() < 1e-5
        if model.pooler is not None:
            assert encoder(images()).shape == (2, 512)
            assert (encoder(images()) - theirs.pooler_output).abs().max() < 1e-5


@pytest.fixture
def hear(tmp_path: Path) -> Path:
    write_hear(tmp_path / "hear", TINY)
    return tmp_path / "hear"


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_folder_of_transformers_gives_the_outputs_of_transformers(tmp_path: Path) -> None:
    model = write_hear(tmp_path, TINY)
    assert_same_outputs(load_vit_folder(tmp_path), model)


def test_transformers_reads_our_folder_and_gives_our_outputs(tmp_path: Path) -> None:
    encoder = Encoder(EncoderSettings(width=48, depth=2, heads=3, pooler_size=512)).eval()
    save_vit_folder(encoder, tmp_path)
    model, report = ViTModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    assert_same_outputs(encoder, model.eval())
    assert torch.equal(model.embeddings.position_embeddings[0], encoder.positions)


def test_our_own_encoder_has_no_pooler_in_either(tmp_path: Path) -> None:
    encoder = Encoder(SIZES["tiny"]).eval()
    save_vit_folder(encoder, tmp_path)
    model, report = ViTModel.from_pretrained(tmp_path, add_pooling_layer=False, output_loading_info=True)
    assert not any(report.values())
    assert_same_outputs(encoder, model.eval())
    again = load_vit_folder(tmp_path, pooler=False)
    assert torch.equal(again(images()), encoder(images()))
    with pytest.raises(DataError, match=r"pooler_act is 'tanh', expected 'linear'"):
        load_teacher(f"hear:{tmp_path}")


def test_writing_what_was_read_changes_no_weight(hear: Path, tmp_path: Path) -> None:
    save_vit_folder(load_vit_folder(hear), tmp_path / "again")
    first, second = (load_file(folder / "model.safetensors") for folder in (hear, tmp_path / "again"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    ours, theirs = (json.loads((folder / "config.json").read_text()) for folder in (tmp_path / "again", hear))
    assert {key: theirs[key] for key in ours} == ours


def test_the_path_with_a_pooler_and_the_one_without_embed_differently(hear: Path) -> None:
    with_pooler, without = load_vit_folder(hear), load_vit_folder(hear, pooler=False)
    tokens = without.encode(without.patch_tokens(images()))
    assert (with_pooler.embedding_size, without.embedding_size) == (512, 24 * 32)
    assert torch.equal(without(images())[:, : 8 * 32], tokens[:, 1:].unflatten(1, (12, 8)).mean(dim=1).flatten(1))
    assert torch.equal(with_pooler(images()), with_pooler.pooler(tokens[:, 0]))


def test_whether_there_is_a_pooler_can_be_read_off_the_weights(hear: Path, tmp_path: Path) -> None:
    assert load_vit_folder(hear, pooler=None).settings.pooler_size == 512
    save_vit_folder(Encoder(SIZES["tiny"]), tmp_path / "ours")
    assert load_vit_folder(tmp_path / "ours", pooler=None).settings == SIZES["tiny"]


def test_half_precision_weights_become_float32(hear: Path) -> None:
    weights = {name: value.half() for name, value in load_file(hear / "model.safetensors").items()}
    save_file(weights, hear / "model.safetensors", metadata={"format": "pt"})
    assert {value.dtype for value in load_vit_folder(hear).state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("spec_of", [str, lambda folder: "google/hear-pytorch"], ids=["folder", "hub"])
def test_the_teacher_is_the_pooler_behind_hears_front_end(hear: Path, monkeypatch, spec_of) -> None:
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda _, name, revision: str(hear / name))
    teacher = load_teacher(f"hear:{spec_of(hear)}")
    waveform = 0.1 * torch.randn(2, 32_000, generator=torch.Generator().manual_seed(1))
    expected = ViTModel.from_pretrained(hear).eval()(HearFrontEnd()(waveform)[:, None]).pooler_output
    assert teacher.embedding_size == 512
    assert not teacher.embed(waveform).requires_grad
    assert (teacher.embed(waveform) - expected).abs().max() < 1e-5


@pytest.mark.slow
def test_a_full_size_folder_of_transformers_is_a_teacher_with_its_outputs(tmp_path: Path) -> None:
    model = write_hear(tmp_path, LARGE)
    teacher = load_teacher(f"hear:{tmp_path}")
    assert sum(parameter.numel() for parameter in teacher.encoder.parameters()) == 303_100_416
    assert_same_outputs(teacher.encoder, model)
    waveform = 0.1 * torch.randn(1, 32_000, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = model(HearFrontEnd()(waveform)[:, None]).pooler_output
    assert (teacher.embed(waveform) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_an_absent_file_is_named(hear: Path, name: str) -> None:
    (hear / name).unlink()
    with pytest.raises(DataError, match=f"is incomplete: it has no {name}"):
        load_vit_folder(hear)


@pytest.mark.parametrize("size_bytes", [0, 7, 300, 40_000])
def test_truncated_weights_are_refused(hear: Path, size_bytes: int) -> None:
    path = hear / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size_bytes])
    with pytest.raises(DataError, match=r"model\.safetensors is damaged or no safetensors file"):
        load_vit_folder(hear)


@pytest.mark.parametrize("text", ["{", "[]", "\xff", ""])
def test_a_config_that_is_none_is_refused(hear: Path, text: str) -> None:
    (hear / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"config\.json"):
        load_vit_folder(hear)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu', expected 'gelu_fast'"),
        ({"image_size": 224}, r"image_size is 224, expected \[192, 128\]"),
        ({"pooler_act": "tanh"}, "pooler_act is 'tanh', expected 'linear'"),
        ({"layer_norm_eps": 1e-12}, "layer_norm_eps is 1e-12"),
        ({"model_type": "bert"}, "model_type is 'bert', expected 'vit'"),
        ({"intermediate_size": 96}, "intermediate_size is 96, expected 4 x hidden_size = 128"),
        ({"hidden_size": "wide"}, "gives a size of 'wide': expected a positive integer"),
        ({"num_attention_heads": 5}, "hidden_size of 32: expected a multiple of 4 and of its 5 heads"),
        ({"num_hidden_layers": 4}, r"is incomplete: it lacks 16 tensors, encoder\.layer\.3"),
        ({"num_hidden_layers": 2}, r"it holds encoder\.layer\.2.* as well"),
        ({"hidden_size": 64, "intermediate_size": 256}, r"does not fit config\.json beside it: size mismatch"),
        ({"pooler_output_size": 256}, r"does not fit config\.json beside it: size mismatch for pooler"),
    ],
)
def test_another_architecture_is_refused_by_what_differs(hear: Path, change: dict, sentence: str) -> None:
    change_config(hear, **change)
    with pytest.raises(DataError, match=sentence):
        load_vit_folder(hear)


def test_weights_without_the_pooler_are_incomplete(hear: Path) -> None:
    weights = load_file(hear / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("pooler")}
    save_file(kept, hear / "model.safetensors")
    with pytest.raises(DataError, match=r"is incomplete: it lacks 2 tensors, pooler\.dense\.bias among them"):
        load_teacher(f"hear:{hear}")


def test_weights_that_are_not_finite_are_refused(hear: Path) -> None:
    weights = load_file(hear / "model.safetensors")
    weights["layernorm.bias"][3] = float("nan")
    save_file(weights, hear / "model.safetensors")
    with pytest.raises(DataError, match="holds weights that are not finite"):
        load_vit_folder(hear)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write the encoder to .*file"):
        save_vit_folder(Encoder(EncoderSettings(width=8, depth=1, heads=2)), tmp_path / "file")


@pytest.mark.parametrize("place", ["/nowhere/at/all", "hear", "../hear", "a/b/c"])
def test_what_can_be_no_hub_id_is_an_absent_folder(place: str) -> None:
    with pytest.raises(DataError, match=f"there is no folder {place}$"):
        find_vit_folder(place)


def response(status: int) -> httpx2.Response:
    return httpx2.Response(status, request=httpx2.Request("GET", "https://huggingface.co"))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (errors.GatedRepoError("no", response=response(403)), r"accept its terms at .*google/hear-pytorch and log in"),
        (errors.RevisionNotFoundError("no", response=response(404)), "has no commit, tag or branch None"),
        (errors.RepositoryNotFoundError("no", response=response(401)), "does not exist or needs a login"),
        (errors.RemoteEntryNotFoundError("no", response=response(404)), r"incomplete: expected config\.json and"),
        (errors.LocalEntryNotFoundError("no"), "the hub cannot be reached"),
        (errors.HfHubHTTPError("server error\nmore", response=response(500)), "cannot be downloaded: server error$"),
        (httpx2.ReadTimeout(""), "cannot be downloaded: ReadTimeout"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(monkeypatch, error: Exception, sentence: str) -> None:
    def refuse(*_: str, **more: object) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(DataError, match=sentence) as caught:
        load_teacher("hear:google/hear-pytorch")
    assert "\n" not in str(caught.value)


@pytest.mark.long
def test_a_hub_id_on_a_machine_that_is_offline_is_one_sentence(tmp_path: Path) -> None:
    code = (
        "from distill.models.hear_checkpoint import find_vit_folder as f; from core.errors import exit_on_error as e\n"
    )
    code += "with e('teacher'): f('nobody-at-all/made-up')"
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "teacher: there is no folder nobody-at-all/made-up, and the model of that name on hugg"
    )
    assert "is not in the cache and the hub cannot be reached (offline, or HF_HUB_OFFLINE is set)" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("google/hear-pytorch", ("google/hear-pytorch", None)),
        ("google/hear-pytorch@9b2eb285", ("google/hear-pytorch", "9b2eb285")),
        ("google/hear-pytorch@refs/pr/1", ("google/hear-pytorch", "refs/pr/1")),
    ],
)
def test_a_model_of_the_hub_is_taken_at_the_revision_that_is_named(
    hear: Path, monkeypatch, place: str, expected: tuple[str, str | None]
) -> None:
    asked = set()

    def download(hub_id: str, name: str, revision: str | None) -> str:
        asked.add((hub_id, revision))
        return str(hear / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert find_vit_folder(place) == hear
    assert asked == {expected}


@pytest.mark.parametrize("place", ["google/hear@", "google/hear@-x", "google/hear@a b", "a@b", "../x@y"])
def test_what_is_no_revision_is_refused(place: str) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        find_vit_folder(place)
