"""The only place where a torch module becomes a TFLite or an ONNX file that takes one clip's waveform."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.clips import CLIP_SAMPLES
from core.errors import OutputError
from core.files import sha256_of_file
from quantize.operators import check_operators
from quantize.quiet import quiet

INPUT = "waveform"
ONNX_OPSET = 17

# The converter names tensors by their classes' modules, so the names are part of a model's bytes. These classes keep
# the modules that the shipped model was exported from: their files may move, and the bytes stay.
EXPORTED_AS = {
    "distill.models.student": "distill.student",
    "distill.models.phone_front_end": "distill.phone_front_end",
}
TOOLS = ("torch", "litert-torch", "litert-converter", "ai-edge-litert", "onnx", "onnxruntime")


def write_tflite(module: nn.Module, signature: str, operators: frozenset[str], out: Path) -> Path:
    """Write a module, whose outputs are a dict, as a float32 TFLite file with one signature.

    The same weights give the same bytes. Raises InterpreterError where the graph needs an operator that is not in
    `operators`.
    """
    sample = {INPUT: torch.zeros(1, CLIP_SAMPLES)}
    with unfinished(out) as path:
        with quiet(), exported_names(module):
            import litert_torch

            model = litert_torch.signature(signature, module.eval(), sample_kwargs=sample).convert()
            content = model.model_content()  # its own `export` ends the whole process where a disk is full
        check_operators(content, operators, str(out))
        path.write_bytes(content)
    return out


def write_onnx(module: nn.Module, outputs: tuple[str, ...], out: Path) -> Path:
    """Write a module, whose outputs are a tensor or a tuple in the order of `outputs`, as float32 ONNX.

    The exporter through TorchScript is used: the other one writes stack traces with local paths into the file.
    """
    with unfinished(out) as path, quiet():
        torch.onnx.export(
            module.eval(),
            (torch.zeros(1, CLIP_SAMPLES),),
            str(path),
            input_names=[INPUT],
            output_names=list(outputs),
            opset_version=ONNX_OPSET,
            dynamo=False,
        )
    return out


@contextlib.contextmanager
def exported_names(module: nn.Module) -> Iterator[None]:
    """Give the classes of a module and of its parts the modules of `EXPORTED_AS` while it is converted."""
    moved = {type(part): type(part).__module__ for part in module.modules() if type(part).__module__ in EXPORTED_AS}
    try:
        for kind, path in moved.items():
            kind.__module__ = EXPORTED_AS[path]
        yield
    finally:
        for kind, path in moved.items():
            kind.__module__ = path


@contextlib.contextmanager
def unfinished(out: Path) -> Iterator[Path]:
    """Give a path beside `out` to write to, which becomes `out` where all goes well and is removed otherwise."""
    path = out.with_name(f".{out.name}.unfinished")
    try:
        yield path
        path.replace(out)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        path.unlink(missing_ok=True)


def file_facts(path: Path) -> dict[str, Any]:
    """Name, size and SHA-256 of a file, for reports."""
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_of_file(path)}
