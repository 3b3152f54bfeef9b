"""The only place that says what each quantized layer costs: its output's error, and what it does to the model alone."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from core.interpreter import SIGNATURE
from distill.corpus.labels import EVENT_LABELS
from quantize.activation_ranges import SIGNATURE_INPUT, Ranges
from quantize.agreement import cosine_summary
from quantize.apply_recipe import apply_recipe, with_layers_in_float, with_one_layer_in_int8
from quantize.outputs import Outputs, tflite_outputs
from quantize.recipe import Recipe
from quantize.tflite_graph import Operator, quantized_layers, read_operators

COUGH = EVENT_LABELS.index("cough")
NO_ERROR_DB = 200.0

Shown = Callable[[list[Operator]], Iterable[Operator]]
"""Gives back what it is given, and may show how far the reader is."""


@dataclass(frozen=True)
class OutputError:
    """A layer's output in the int8 model against the float model's, errors of the layers before it included.

    ``sqnr_db``: energy of the float output over the energy of the difference (Sheng et al. 2018), at most 200 dB;
    ``max_abs``: largest difference.
    """

    sqnr_db: float
    cosine: float
    max_abs: float


@dataclass(frozen=True)
class Effect:
    """What a change of the model does: 1st percentile of the embedding cosine, and mean error of the cough logit."""

    embedding_cosine_p1: float
    cough_logit_error: float


@dataclass(frozen=True)
class LayerError:
    """One quantized layer.

    ``alone`` is the effect with this layer alone in int8; ``spared`` that of the int8 model with this layer in float.
    """

    layer: str
    operator: str
    mac_share: float
    output: OutputError
    alone: Effect
    spared: Effect


def layer_errors(
    float_model: bytes, int8_model: bytes, recipe: Recipe, ranges: Ranges, clips: np.ndarray, shown: Shown = iter
) -> list[LayerError]:
    """Measure each layer that `recipe` quantizes on clips (n, 32000), the layer that costs the model most first.

    `int8_model` is what recipe and ranges make of the float model; `shown` may show the progress over the layers.
    """
    operators = read_operators(int8_model)
    layers, all_macs = quantized_layers(operators), sum(its.macs for its in operators)
    outputs = output_errors(float_model, int8_model, [its.output for its in layers], clips)
    expected = tflite_outputs(float_model, clips)

    def effect(changed: Recipe) -> Effect:
        return measure_effect(expected, tflite_outputs(apply_recipe(float_model, changed, ranges), clips))

    errors = [
        LayerError(
            layer=its.layer,
            operator=its.kind,
            mac_share=its.macs / all_macs,
            output=outputs[its.output],
            alone=effect(with_one_layer_in_int8(recipe, its)),
            spared=effect(with_layers_in_float(recipe, [its], "spared for comparison")),
        )
        for its in shown(layers)
    ]
    return sorted(errors, key=lambda its: its.alone.embedding_cosine_p1)


def measure_effect(expected: Outputs, found: Outputs) -> Effect:
    """How far the outputs are from the float model's."""
    error = np.abs(expected["event_logits"][:, COUGH] - found["event_logits"][:, COUGH])
    return Effect(cosine_summary(expected["embedding"], found["embedding"])["p1"], float(error.mean()))


def output_errors(
    float_model: bytes, int8_model: bytes, tensors: list[str], clips: np.ndarray
) -> dict[str, OutputError]:
    """Compare tensors that both models have, by name, over clips (n, 32000).

    Both run in LiteRT's own kernels, because XNNPACK keeps no values between operators; its int8 results differ from
    them by single steps.
    """
    sums = {name: np.zeros(4) for name in tensors}
    runs = [_Recorder(model, tensors) for model in (float_model, int8_model)]
    for clip in clips:
        expected, found = (run.values(clip) for run in runs)
        for name, total in sums.items():
            x, y = expected[name], found[name]
            total[:3] += x @ x, y @ y, x @ y
            total[3] = max(total[3], np.abs(x - y).max())
    return {name: _output_error(*total) for name, total in sums.items()}


def _output_error(expected_energy: float, found_energy: float, product: float, max_abs: float) -> OutputError:
    error_energy = max(expected_energy - 2 * product + found_energy, 0.0)
    smallest = expected_energy * 10 ** (-NO_ERROR_DB / 10) + np.finfo(float).tiny
    sqnr_db = 10 * np.log10((expected_energy + np.finfo(float).tiny) / max(error_energy, smallest))
    lengths = np.sqrt(expected_energy * found_energy)
    return OutputError(float(sqnr_db), float(product / lengths) if lengths else 1.0, float(max_abs))


class _Recorder:
    """A model that keeps what its operators wrote."""

    def __init__(self, model: bytes, tensors: list[str]) -> None:
        self._interpreter = Interpreter(
            model_content=model,
            num_threads=1,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self._run = self._interpreter.get_signature_runner(SIGNATURE)
        details = {its["name"]: its for its in self._interpreter.get_tensor_details() if its["name"] in set(tensors)}
        self._kept = {name: (details[name]["index"], *details[name]["quantization"]) for name in tensors}

    def values(self, clip: np.ndarray) -> dict[str, np.ndarray]:
        """Run a clip (32000,); each tensor flat, float64, int8 ones as the numbers that they stand for."""
        self._run(**{SIGNATURE_INPUT: clip[None]})
        values = {}
        for name, (index, scale, zero_point) in self._kept.items():
            raw = self._interpreter.get_tensor(index).astype(np.float64).ravel()
            values[name] = (raw - zero_point) * scale if scale else raw
        return values
