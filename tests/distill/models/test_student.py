from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from core.audio import SAMPLE_RATE_HZ
from core.errors import DataError
from core.interpreter import EMBEDDING_SIZE
from distill.checkpoints import save_checkpoint
from distill.corpus.labels import ACTIVITY_FRAME_STEP_S, EVENT_LABELS, N_ACTIVITY_FRAMES
from distill.distillation.distill_student import DistillSettings
from distill.models.student import Student, StudentSettings, load_student
from distill.settings import load_settings

DISTILL = Path(__file__).parents[3] / "distill"
PARAMETERS = {"nano": 153_890, "small": 370_242, "base": 3_059_266}


def noise(seconds: float = 2.0) -> torch.Tensor:
    return 0.1 * torch.randn(1, int(seconds * SAMPLE_RATE_HZ), generator=torch.Generator().manual_seed(3))


def test_the_student_has_the_documented_outputs_and_size():
    student = Student().eval()
    outputs = student(torch.cat([noise(), 0.5 * noise()]))
    assert outputs.embedding.shape == (2, EMBEDDING_SIZE)
    assert outputs.event_logits.shape == (2, len(EVENT_LABELS))
    assert outputs.activity_logits.shape == (2, N_ACTIVITY_FRAMES)
    assert sum(parameter.numel() for parameter in student.parameters()) == 429_498


def test_activity_logits_are_in_the_order_of_time():
    torch.manual_seed(0)
    student = Student().eval()
    quiet = 1e-3 * noise()
    with torch.no_grad():
        before = student.body(student.front_end(quiet)).activity_logits
        for frame in (5, 25, 44):
            features = student.front_end(quiet)
            features[:, :, 2 * frame : 2 * frame + 2] += 3.0
            change = (student.body(features).activity_logits - before).abs()[0]
            centre = (change * torch.arange(N_ACTIVITY_FRAMES)).sum() / change.sum()
            assert abs(centre - frame) < 4


@pytest.mark.parametrize(("size", "config"), [("nano", "distil_nano"), ("small", "second_small")])
def test_the_trained_checkpoints_are_the_students_of_their_settings_files(size, config):
    student = load_student(DISTILL / "students" / f"{size}.pt")
    assert student.settings == load_settings(DistillSettings, DISTILL / "configs" / f"{config}.toml").student
    assert torch.isfinite(student(noise()).embedding).all()


def test_mean_squares_let_a_short_event_count_for_more_than_its_share():
    """An event in one of 25 steps moves the embedding by its square's share as well as by its own."""
    torch.manual_seed(0)
    plain, squared = (Student(StudentSettings(pooling=pooling)).eval() for pooling in ("mean", "mean_square"))
    assert squared.body.embedding.in_features == 2 * plain.body.embedding.in_features
    squared.body.load_state_dict({**plain.body.state_dict(), "embedding.weight": squared.body.embedding.weight})
    maps = plain.body.widen(plain.body.blocks(plain.body.stem(plain.front_end(noise()))))
    expected = torch.cat([maps.mean(dim=(2, 3)), maps.square().mean(dim=(2, 3)) / 6], dim=1)
    assert torch.allclose(squared(noise()).embedding, squared.body.embedding(expected), atol=1e-5)


@pytest.mark.parametrize("size", ["nano", "base"])
def test_the_second_students_differ_from_the_first_in_edge_and_pooling_alone(size):
    first, second = (
        load_settings(DistillSettings, DISTILL / "configs" / f"{generation}_{size}.toml").student
        for generation in ("distil", "second")
    )
    assert second == first.model_copy(update={"mel_min_hz": 200.0, "pooling": "mean_square"})


@pytest.mark.parametrize("size", PARAMETERS)
def test_each_size_has_its_parameters_and_an_activity_step_of_at_most_40_ms(size):
    settings = load_settings(DistillSettings, DISTILL / "configs" / f"distil_{size}.toml").student
    student = Student(settings).eval()
    assert sum(parameter.numel() for parameter in student.parameters()) == PARAMETERS[size]
    outputs = student(noise())
    shapes = [tuple(output.shape) for output in outputs]
    assert shapes == [(1, EMBEDDING_SIZE), (1, len(EVENT_LABELS)), (1, N_ACTIVITY_FRAMES)]
    assert ACTIVITY_FRAME_STEP_S <= 0.04
    assert all(width % 8 == 0 for width in (*settings.channels, *settings.expanded_channels, settings.pooled_channels))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"channels": (24, 40)}, "but have 2, 5 and 5 entries"),
        ({"strides": ((2, 2),) * 2 + ((1, 1),) * 3}, "13 time steps are left; they must divide 50"),
        ({"strides": ((1, 3),) + ((1, 1),) * 4}, "Input should be 1 or 2"),
        ({"channels": (), "expanded_channels": (), "strides": ()}, "at least 1 item"),
        ({"n_mels": 50}, "multiple of 8"),
        ({"n_mels": 72}, "less than or equal to 64"),
        ({"stem_channels": 0}, "greater than 0"),
        ({"mel_min_hz": 5.0}, "greater than or equal to 20"),
        ({"pooling": "max"}, "'mean' or 'mean_square'"),
    ],
)
def test_settings_that_describe_no_student_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        StudentSettings(**settings)


def save_student(path: Path, student: Student, settings: StudentSettings) -> None:
    state = {f"student.{name}": value for name, value in student.state_dict().items()}
    save_checkpoint(
        path, model_state=state, training_state={}, settings={"student": settings.model_dump()}, provenance={}
    )


def test_a_checkpoint_of_another_architecture_or_with_nan_is_refused(tmp_path):
    smallest = StudentSettings(
        stem_channels=4, channels=(4, 8), expanded_channels=(8, 8), strides=((1, 2), (2, 2)), pooled_channels=8
    )
    student = Student(smallest)
    save_student(tmp_path / "other.pt", student, StudentSettings())
    with pytest.raises(DataError, match="of this architecture"):
        load_student(tmp_path / "other.pt")
    student.body.events.bias.data[0] = float("nan")
    save_student(tmp_path / "nan.pt", student, smallest)
    with pytest.raises(DataError, match="not finite"):
        load_student(tmp_path / "nan.pt")
