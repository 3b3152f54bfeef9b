"""The embedding teachers: by their names, one, several, a TFLite model, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DataError, SettingsError
from core.interpreter import LiteRtInterpreter
from distill.checkpoints import save_checkpoint
from distill.distillation import teachers
from distill.distillation.teachers import CombinedTeacher, TfliteTeacher, load_teacher, window_starts
from distill.distillation.yamnet import YamnetTeacher
from distill.models.hear_front_end import HearFrontEnd
from distill.models.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderSettings

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "core" / "bundles" / "default" / "model.tflite"
YAMNET = ROOT.parent / "shared" / "models" / "yamnet.tflite"
needs_yamnet = pytest.mark.skipif(not YAMNET.exists(), reason="../shared/models/yamnet.tflite is absent")


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


def noise(n_clips: int = 2) -> torch.Tensor:
    return 0.1 * torch.randn(n_clips, 32_000, generator=torch.Generator().manual_seed(0))


def detail(shape: tuple[int, ...], dtype: type = np.float32, index: int = 0) -> dict:
    return {"shape": np.abs(shape), "shape_signature": np.array(shape), "dtype": dtype, "index": index}


class StandInRuntime:
    """A TFLite runtime whose first output is its input's first and last sample, the others zeros."""

    def __init__(self, inputs: list[dict], outputs: list[dict]) -> None:
        self.inputs, self.outputs = inputs, outputs

    def get_input_details(self) -> list[dict]:
        return self.inputs

    def get_output_details(self) -> list[dict]:
        return self.outputs

    def set_tensor(self, _: int, window: np.ndarray) -> None:
        assert window.shape == tuple(self.inputs[0]["shape"])
        self.window = window.reshape(-1)

    def invoke(self) -> None:
        pass

    def get_tensor(self, index: int) -> np.ndarray:
        return np.array([self.window[0], self.window[-1]]) if index == 0 else np.zeros(self.outputs[index]["shape"])


@pytest.fixture
def stand_in(monkeypatch, tmp_path: Path):
    """Give a teacher whose file has the inputs and outputs that one names."""

    def teacher(inputs: list[dict], outputs: list[dict]) -> TfliteTeacher:
        monkeypatch.setattr(teachers, "open_tflite", lambda *_, **__: StandInRuntime(inputs, outputs))
        (tmp_path / "model.tflite").write_bytes(b"stands in")
        return TfliteTeacher(tmp_path / "model.tflite")

    return teacher


def test_our_own_model_is_a_teacher_whose_longest_output_is_its_embedding() -> None:
    teacher, model = TfliteTeacher(SHIPPED), LiteRtInterpreter(SHIPPED)
    assert (teacher.window_samples, teacher.block_sizes) == (32_000, (512,))
    expected = np.stack([model.run(clip).embedding for clip in noise().numpy()])
    assert np.array_equal(teacher.embed(noise()).numpy(), expected)


@needs_yamnet
def test_yamnet_teaches_its_class_scores_and_not_its_spectrogram() -> None:
    teacher, events = TfliteTeacher(YAMNET), YamnetTeacher(YAMNET)
    assert (teacher.window_samples, teacher.embedding_size) == (15_600, 521)
    scores = teacher.embed(noise())
    assert scores.dtype == torch.float32
    clip = noise()[1].numpy()
    windows = [events._class_scores(clip[start : start + 15_600]) for start in window_starts(15_600)]
    assert np.allclose(scores[1].numpy(), np.mean(windows, axis=0), atol=1e-6)


def test_the_inner_embedding_is_what_the_event_layer_of_our_own_model_takes() -> None:
    teacher, interpreter = TfliteTeacher(SHIPPED, inner=True), LiteRtInterpreter(SHIPPED)
    assert teacher.embedding_size == interpreter.shape.embedding_size
    inner, output = teacher.embed(noise(1))[0].numpy(), interpreter.run(noise(1)[0].numpy()).embedding
    cosine = inner @ output / np.linalg.norm(inner) / np.linalg.norm(output)
    assert cosine > 0.99  # other kernels round int8 otherwise


@needs_yamnet
def test_yamnets_inner_embedding_has_1024_values_and_its_classes_follow_from_it() -> None:
    inner, outer = TfliteTeacher(YAMNET, inner=True), TfliteTeacher(YAMNET)
    assert (inner.embedding_size, outer.embedding_size) == (1024, 521)
    assert inner.fingerprint != outer.fingerprint
    embeddings = inner.embed(noise(2)).numpy()
    assert embeddings.shape == (2, 1024) and embeddings.min() >= 0 and embeddings.std(axis=1).min() > 0
    assert not np.allclose(embeddings[0], embeddings[1])


@pytest.mark.long
def test_a_model_whose_layers_read_no_vector_has_no_inner_embedding(tmp_path: Path) -> None:
    import litert_torch

    path = tmp_path / "average.tflite"
    litert_torch.convert(torch.nn.AvgPool1d(2), (torch.zeros(1, 1, 32_000),)).export(str(path))
    with pytest.raises(DataError, match="cannot be a teacher"):
        TfliteTeacher(path, inner=True)


@given(st.integers(1_600, 100_000))
def test_windows_cover_a_clip_from_its_first_to_its_last_sample_and_overlap_by_half(window: int) -> None:
    starts = window_starts(window)
    assert starts[0] == 0
    assert starts[-1] == max(0, 32_000 - window)
    assert all(0 < step <= window / 2 + 1 for step in np.diff(starts))


def test_the_embedding_is_the_mean_over_the_windows(stand_in) -> None:
    teacher = stand_in([detail((1, 16_000))], [detail((1, 2))])
    ramp = torch.arange(32_000.0)[None]
    assert teacher.embed(ramp).tolist() == [[8_000.0, 23_999.0]]  # windows start at 0, 8000 and 16000


def test_a_model_that_takes_more_than_a_clip_hears_it_again_instead_of_silence(stand_in) -> None:
    teacher = stand_in([detail((40_000,))], [detail((2,))])
    assert teacher.embed(torch.arange(32_000.0)[None]).tolist() == [[0.0, 7_999.0]]


def test_of_several_vectors_the_longest_is_the_embedding(stand_in) -> None:
    outputs = [detail((1, 2)), detail((1, 7), index=1), detail((96, 64), index=2), detail((1, 99), np.int8, 3)]
    assert stand_in([detail((1, 16_000))], outputs).embedding_size == 7


@pytest.mark.parametrize(
    "inputs",
    [
        [detail((1, 96, 64))],
        [detail((1, -1))],
        [detail((2, 16_000))],
        [detail((1, 400))],
        [detail((1, 16_000), np.int8)],
        [detail((1, 16_000)), detail((1, 16_000), index=1)],
        [detail(())],
        [],
    ],
)
def test_a_model_without_one_fixed_waveform_as_input_is_refused(stand_in, inputs: list[dict]) -> None:
    with pytest.raises(DataError, match=r"model\.tflite cannot be a teacher: expected one input, a float32 waveform"):
        stand_in(inputs, [detail((1, 2))])


def test_a_model_without_a_vector_as_output_is_refused_with_what_it_has(stand_in) -> None:
    with pytest.raises(DataError, match=r"among its outputs, found float32 \(96, 64\), int8 \(1, 9\)"):
        stand_in([detail((1, 16_000))], [detail((96, 64)), detail((1, 9), np.int8)])


@pytest.mark.parametrize("content", [None, b"not a model"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.tflite").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot load a teacher from .*a\.tflite") as caught:
        TfliteTeacher(tmp_path / "a.tflite")
    assert "\n" not in str(caught.value)
