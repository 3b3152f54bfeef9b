"""The only place that makes TFLite models of what is timed beside ours: a torch module in float32 and in int8."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quantize.conversion import quiet
from quantize.recipe import OperatorConfig, QuantizerEntry, TensorConfig

if TYPE_CHECKING:
    from torch import nn

_SIGNATURE, _INPUT = "serving_default", "args_0"
_WEIGHTS = TensorConfig(num_bits=8, symmetric=True, granularity="CHANNELWISE", dtype="INT")
_ACTIVATIONS = TensorConfig(num_bits=8, symmetric=False, granularity="TENSORWISE", dtype="INT")


def to_float(module: "nn.Module", shape: tuple[int, ...]) -> bytes:
    """Convert a module of one input of `shape`; the content of a float32 .tflite file."""
    with quiet(), tempfile.TemporaryDirectory() as folder:
        import litert_torch
        import torch

        path = Path(folder) / "model.tflite"
        litert_torch.convert(module.eval(), (torch.zeros(shape),)).export(str(path))
        return path.read_bytes()


def to_int8(float_model: bytes, inputs: np.ndarray | None, layers: str = ".*") -> bytes:
    """Quantize operators whose layer matches `layers`: statically over `inputs` (n, *shape), or dynamically without.

    One scale per output channel of the weights. Dynamic means that activations stay float32 between operators and are
    rounded by their own range inside them.
    """
    from ai_edge_quantizer.quantizer import Quantizer

    activations = None if inputs is None else _ACTIVATIONS
    config = OperatorConfig(
        activation_tensor_config=activations, weight_tensor_config=_WEIGHTS, compute_precision="INTEGER"
    )
    entry = QuantizerEntry(
        regex=layers, operation="*", algorithm_key="min_max_uniform_quantize", op_config=config
    ).model_dump(exclude={"comment"}, exclude_none=True)
    with quiet():
        quantizer = Quantizer(bytearray(float_model), [entry])
        ranges = None
        if inputs is not None:
            ranges = quantizer.calibrate({_SIGNATURE: [{_INPUT: its[None]} for its in inputs]}, num_threads=1)
        return bytes(quantizer.quantize(ranges).quantized_model)
