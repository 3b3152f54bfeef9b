"""Batches of every shape on their way to the device, cut into parts or not."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from distill.training.device import autocast, map_tensors, moved, parts_of, ready_for, training_device


class Pair(NamedTuple):
    """A batch as distillation has it."""

    waveform: Tensor
    weight: Tensor


def pair() -> Pair:
    return Pair(torch.arange(12.0).reshape(6, 2), torch.arange(6.0))


def test_the_device_is_cuda_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for available, name in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert training_device().type == name


def test_parts_hold_every_clip_once_and_in_order() -> None:
    parts = parts_of(pair(), 3, 6)
    assert all(isinstance(part, Pair) for part in parts)
    assert [len(part.waveform) for part in parts] == [2, 2, 2]
    assert torch.equal(torch.cat([part.waveform for part in parts]), pair().waveform)
    assert torch.equal(torch.cat([part.weight for part in parts]), pair().weight)


def test_what_is_no_list_of_clips_goes_whole_to_every_part() -> None:
    parts = parts_of({"clips": torch.arange(4), "table": torch.arange(7), "scale": torch.tensor(2.0), "id": "x"}, 2, 4)
    assert [part["clips"].tolist() for part in parts] == [[0, 1], [2, 3]]
    assert all(len(part["table"]) == 7 and part["scale"] == 2.0 and part["id"] == "x" for part in parts)


def test_tensors_are_found_in_tuples_lists_and_dicts() -> None:
    nested = (torch.ones(1), [torch.ones(1), {"a": torch.ones(1), "b": 5}])
    assert map_tensors(nested, lambda tensor: tensor + 1) == (
        torch.tensor([2.0]),
        [torch.tensor([2.0]), {"a": 2, "b": 5}],
    )


def test_a_batch_is_moved_to_another_device_whole() -> None:
    there = moved(pair(), torch.device("meta"))
    assert isinstance(there, Pair)
    assert {tensor.device.type for tensor in there} == {"meta"}


def test_batches_are_pinned_for_a_gpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = []
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor)
    ready_for(torch.device("cpu"), lambda step: pair())(0)
    assert pinned == []
    batch = ready_for(torch.device("cuda"), lambda step: Pair(torch.full((2,), float(step)), torch.ones(2)))(7)
    assert len(pinned) == 2
    assert batch.waveform.tolist() == [7.0, 7.0]


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_the_precision_is_that_of_matrix_products(precision: str, dtype: torch.dtype) -> None:
    with autocast(torch.device("cpu"), precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
