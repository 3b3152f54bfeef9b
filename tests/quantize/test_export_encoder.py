"""A full encoder as files: the same embedding from TFLite, ONNX and ViTModel's folder as from torch; refusals."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import Tensor, nn

from core.demonstration import synthesized_clips
from core.model.operators import STUDENT_OPERATORS
from distill.checkpoints import save_checkpoint
from distill.distillation.teachers import load_mae_encoder, load_teacher
from distill.models.encoder import SIZES, Encoder, EncoderSettings
from distill.models.hear_checkpoint import load_vit_folder, save_vit_folder
from distill.models.hear_front_end import ConvertibleFrontEnd
from distill.models.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderSettings
from quantize import export, export_encoder
from quantize.conversion import write_tflite
from quantize.export_encoder import ENCODER_OPERATORS, FILES
from quantize.outputs import onnx_outputs
from quantize.recipe import Format, read_encoder_recipe
from quantize.signature import EMBED_OUTPUTS
from quantize.tflite_graph import count_partitions, list_operators

pytestmark = pytest.mark.long

REFERENCE = np.load(Path(__file__).parents[1] / "data" / "hear_front_end.npz")
HEAR = EncoderSettings(width=48, depth=2, heads=3, pooler_size=24)
UNSEEN = synthesized_clips(9, seed=123)[1:]
ALL_FORMATS = tuple(part for form in Format for part in ("--format", form))


def random_encoder(settings: EncoderSettings) -> Encoder:
    """An encoder whose every weight and bias is drawn at random."""
    torch.manual_seed(3)
    encoder = Encoder(settings).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return encoder


@pytest.fixture(scope="module")
def hear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder with a pooler in google/hear-pytorch's layout."""
    folder = tmp_path_factory.mktemp("hear")
    save_vit_folder(random_encoder(HEAR), folder)
    return folder


@pytest.fixture(scope="module")
def exported(hear: Path, tmp_path_factory: pytest.TempPathFactory, run) -> Path:
    """What the command makes of it in every format."""
    out = tmp_path_factory.mktemp("exported")
    result = run(export.app, hear, *ALL_FORMATS, "--out", out)
    assert result.exit_code == 0, result.stderr
    return out


@pytest.fixture
def mae(tmp_path: Path) -> Path:
    """A checkpoint as tussis-pretrain writes it."""
    torch.manual_seed(0)
    settings = MaskedAutoencoderSettings(size="tiny")
    path = tmp_path / "final.pt"
    save_checkpoint(
        path,
        model_state=MaskedAutoencoder(settings).state_dict(),
        training_state={"step": 1},
        settings={"model": settings.model_dump(mode="json")},
        provenance={},
    )
    return path


def embeddings(spec: str) -> np.ndarray:
    return load_teacher(spec).embed(torch.from_numpy(UNSEEN)).numpy()


def cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    return (ours * theirs).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)


def test_float_tflite_and_onnx_give_the_teachers_embedding_of_clips_that_the_export_never_saw(hear, exported):
    expected = embeddings(f"hear:{hear}")
    assert expected.shape == (8, 24) and expected.std(axis=0).min() > 1e-4
    for found in (
        embeddings(f"tflite:{exported / FILES[Format.FLOAT32]}"),
        onnx_outputs(exported / FILES[Format.ONNX], UNSEEN, EMBED_OUTPUTS)["embedding"],
    ):
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(("form", "lowest"), [(Format.INT8, 0.999), (Format.FLOAT16, 0.99999)])
def test_weights_that_are_stored_smaller_hardly_turn_an_embedding(hear, exported, form, lowest):
    found, expected = embeddings(f"tflite:{exported / FILES[form]}"), embeddings(f"hear:{hear}")
    assert cosines(found, expected).min() > lowest
    assert not np.array_equal(found, embeddings(f"tflite:{exported / FILES[Format.FLOAT32]}"))


@pytest.mark.parametrize("form", [Format.INT8, Format.FLOAT16, Format.FLOAT32])
def test_a_tflite_file_has_one_signature_and_needs_no_operator_beyond_the_builtin_ones(exported, form):
    content = (exported / FILES[form]).read_bytes()
    (signature,) = (interpreter := Interpreter(model_content=content)).get_signature_list().items()
    assert signature == ("embed", {"inputs": ["waveform"], "outputs": ["embedding"]})
    runner = interpreter.get_signature_runner("embed")
    assert runner.get_input_details()["waveform"]["shape"].tolist() == [1, 32000]
    assert runner.get_output_details()["embedding"]["shape"].tolist() == [1, 24]
    assert set(list_operators(content, form)) <= ENCODER_OPERATORS
    assert count_partitions(content).is_whole


def test_int8_weights_take_a_quarter_of_float32_and_float16_half(exported):
    linear = 4 * sum(weight.numel() for weight in random_encoder(HEAR).parameters() if weight.ndim == 2)
    float32, float16, int8 = ((exported / FILES[form]).stat().st_size for form in ("float32", "float16", "int8"))
    assert float32 - float16 == pytest.approx(linear / 2, rel=0.1)
    assert float32 - int8 == pytest.approx(linear * 3 / 4, rel=0.1)


def test_the_report_names_source_files_and_drift(hear, exported):
    report = json.loads((exported / export.REPORT_FILE).read_text(encoding="utf-8"))
    assert report["source"] == load_teacher(f"hear:{hear}").fingerprint.replace("hear:", "vit:")
    assert report["encoder"] == HEAR.model_dump() | {"parameters": sum(weight.numel() for weight in weights_of(hear))}
    assert report["signature"]["outputs"] == {"embedding": 24}
    for form in set(Format) - {Format.VIT}:
        facts = report["files"][form]
        assert facts["bytes"] == (exported / FILES[form]).stat().st_size
        assert 0.999 < facts["parity"]["cosine_min"] <= 1.0001
        assert 0.98 < facts["parity"]["centred_cosine_min"] <= 1.0001
    assert report["files"]["float32"]["parity"]["max_relative"] < 1e-4


def weights_of(folder: Path) -> list[Tensor]:
    return list(load_vit_folder(folder).state_dict().values())


def test_int8_is_what_is_written_unless_asked_otherwise_and_the_same_weights_give_the_same_bytes(
    hear, exported, run, tmp_path
):
    assert run(export.app, hear, "--out", tmp_path).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILES[Format.INT8], export.REPORT_FILE]
    assert (tmp_path / FILES[Format.INT8]).read_bytes() == (exported / FILES[Format.INT8]).read_bytes()


def test_no_file_names_a_folder_of_this_machine(hear, exported):
    for path in (path for path in exported.rglob("*") if path.is_file()):
        assert str(hear.parent).encode() not in path.read_bytes()
        assert b"site-packages" not in path.read_bytes()


def test_the_onnx_file_is_valid_and_whole(exported):
    model = onnx.load(str(exported / FILES[Format.ONNX]), load_external_data=False)
    onnx.checker.check_model(model)
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["waveform", "embedding"]
    assert not any(weights.external_data for weights in model.graph.initializer)


def test_our_own_encoder_becomes_a_vit_folder_and_is_recognized_as_one_without_a_pooler(mae, run, tmp_path):
    result = run(export.app, mae, "--format", "vit", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    folder = tmp_path / "out" / FILES[Format.VIT]
    images = torch.rand(2, 192, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = load_mae_encoder(mae)(images)
        assert torch.equal(load_vit_folder(folder, pooler=None)(images), expected)
    assert export_encoder.load_encoder(str(folder)).embedding_size == expected.shape[1]


@pytest.mark.slow
def test_our_own_encoder_is_exported_from_its_checkpoint(mae, run, tmp_path):
    result = run(export.app, mae, "--format", "int8", "--format", "onnx", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    expected = embeddings(f"mae:{mae}")
    assert cosines(embeddings(f"tflite:{tmp_path / 'out' / FILES[Format.INT8]}"), expected).min() > 0.999
    found = onnx_outputs(tmp_path / "out" / FILES[Format.ONNX], UNSEEN, EMBED_OUTPUTS)["embedding"]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_a_full_size_hear_encoder_becomes_one_int8_file(run, tmp_path):
    save_vit_folder(random_encoder(SIZES["large"].model_copy(update={"pooler_size": 512})), tmp_path / "hear")
    result = run(export.app, tmp_path / "hear", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    report = json.loads((tmp_path / "out" / export.REPORT_FILE).read_text(encoding="utf-8"))
    assert report["encoder"]["parameters"] == 303_199_744  # the 97 learnt positions among them
    assert report["files"]["float32"]["parity"]["max_relative"] < 1e-4
    assert report["files"]["int8"]["parity"]["cosine_min"] > 0.999
    assert report["files"]["int8"]["bytes"] < 320e6
    assert report["files"]["int8"]["n_partitions"] == 1


class FrontEndSignature(nn.Module):
    """The front end alone, its image as the output."""

    def __init__(self) -> None:
        super().__init__()
        self.front_end = ConvertibleFrontEnd()

    def forward(self, waveform: Tensor) -> dict[str, Tensor]:
        return {"image": self.front_end(waveform)}


def test_the_front_end_in_tflite_gives_the_images_of_hear(tmp_path):
    path = write_tflite(FrontEndSignature(), "image", ENCODER_OPERATORS, tmp_path / "front_end.tflite")
    runner = Interpreter(model_path=str(path)).get_signature_runner("image")
    for name, most in {"sweep": 6e-4, "noise": 1e-4, "bursts": 1e-4, "quiet_tone": 1e-4, "short_tone": 1e-4}.items():
        waveform = np.zeros((1, 32000), np.float32)
        recorded = REFERENCE[f"waveform_{name}"]
        waveform[0, : len(recorded)] = recorded / np.float32(32768)
        difference = np.abs(runner(waveform=waveform)["image"][0] - REFERENCE[f"mel_pcen_{name}"])
        assert difference.max() < most, name
        assert difference.mean() < 1e-5, name


@pytest.fixture
def as_exported(exported, monkeypatch) -> None:
    """Let the command take the files that it wrote before instead of converting anew."""
    monkeypatch.setattr(export_encoder, "_write", lambda form, _, path: shutil.copy(exported / FILES[form], path))


@pytest.mark.usefixtures("as_exported")
def test_an_encoder_that_turned_too_far_is_refused_and_nothing_is_left(hear, run, tmp_path, monkeypatch):
    def no_turn_at_all(form: Format):
        return read_encoder_recipe(form).model_copy(update={"min_embedding_cosine": 1.1})

    monkeypatch.setattr(export_encoder, "read_encoder_recipe", no_turn_at_all)
    result = run(export.app, hear, "--out", tmp_path)
    assert result.exit_code == 2
    assert "encoder_int8.tflite drifted from torch and is refused: the lowest embedding cosine is 0." in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("as_exported")
@pytest.mark.parametrize("form", [Format.FLOAT32, Format.ONNX])
def test_a_file_that_says_something_else_than_the_encoder_is_refused_and_nothing_is_left(run, tmp_path, form):
    other = random_encoder(HEAR)
    with torch.no_grad():
        other.norm.weight[:24] *= 1.1
    save_vit_folder(other, tmp_path / "other")
    result = run(export.app, tmp_path / "other", "--format", form, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert f"{FILES[form]} does not say what the checkpoint says: embedding differs by" in result.stderr
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.usefixtures("as_exported")
def test_an_operator_that_a_phone_may_lack_is_refused(hear, run, tmp_path, monkeypatch):
    monkeypatch.setattr(export_encoder, "ENCODER_OPERATORS", STUDENT_OPERATORS)
    result = run(export.app, hear, "--format", "float32", "--out", tmp_path)
    assert result.exit_code == 2
    assert "needs other operators that the phone's runtime may lack: BATCH_MATMUL, EXP, GELU" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_gives_no_numbers_is_refused(mae, run, tmp_path):
    checkpoint = torch.load(mae, weights_only=True)
    checkpoint["model_state"]["encoder.norm.bias"][0] = torch.nan
    torch.save(checkpoint, mae)
    result = run(export.app, mae, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert result.stderr == f"tussis-export: {mae} gives embeddings that are not finite\n"
    assert list((tmp_path / "out").iterdir()) == []


def test_an_encoder_that_fits_in_no_file_is_refused_before_any_work(hear, run, tmp_path, monkeypatch):
    monkeypatch.setattr(export_encoder, "MAX_WEIGHT_BYTES", 100_000)
    result = run(export.app, hear, "--out", tmp_path)
    assert result.exit_code == 2
    assert "GB of float32 weights; one file can hold at most" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_format_for_a_student_is_refused(world, run, tmp_path):
    result = run(export.app, world.checkpoint, "--format", "int8", "--out", tmp_path)
    assert result.exit_code == 2
    assert result.stderr == f"tussis-export: {world.checkpoint} is a student's checkpoint; --format is for encoders\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("nowhere.pt", "there is no checkpoint nowhere.pt"),
        ("hear:nowhere", "there is no folder nowhere"),
        (Path(__file__).parent, "is incomplete: it has no model.safetensors"),
    ],
)
def test_what_is_no_model_is_one_sentence(run, tmp_path, place, sentence):
    result = run(export.app, place, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert sentence in result.stderr and result.stderr.count("\n") == 1
