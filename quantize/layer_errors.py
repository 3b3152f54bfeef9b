"""Measures what each quantized layer costs: its output's error, and its effect on the model alone."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from core.bundle import COUGH
from core.interpreter import SIGNATURE
from distill.corpus.labels import EVENT_LABELS
from quantize.apply_recipe import Ranges, apply_recipe, with_layers_in_float, with_one_layer_in_int8
from quantize.conversion import INPUT
from quantize.outputs import Outputs, cosine_summary, tflite_outputs
from quantize.recipe import Recipe
from quantize.tflite_graph import Operator, quantized_layers, read_operators

NO_ERROR_DB = 200.0

Shown = Callable[[list[Operator]], Iterable[Operator]]
"""Gives back what it is given, and may show how far the reader is."""


@dataclass(frozen=True)
class LayerOutputError:
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
    output: LayerOutputError
    alone: Effect
    spared: Effect


@dataclass(frozen=True, eq=False)
class FloatRun:
    """The float model and its outputs on clips (n, 32000): what a changed model is measured against."""

    model: bytes
    clips: np.ndarray
    outputs: Outputs

    @classmethod
    def of(cls, model: bytes, clips: np.ndarray) -> "FloatRun":
        """Run the model on the clips."""
        return cls(model, clips, tflite_outputs(model, clips))

    def effect_of(self, changed: bytes) -> Effect:
        """How far a changed model's outputs on the clips are from the float model's."""
        cough, outputs = EVENT_LABELS.index(COUGH), tflite_outputs(changed, self.clips)
        error = np.abs(self.outputs["event_logits"][:, cough] - outputs["event_logits"][:, cough])
        return Effect(cosine_summary(self.outputs["embedding"], outputs["embedding"]).p1, float(error.mean()))


def layer_errors(
    float_run: FloatRun, int8_model: bytes, recipe: Recipe, ranges: Ranges, shown: Shown = iter
) -> list[LayerError]:
    """Measure each layer that `recipe` quantizes, the layer that costs the model most first.

    `int8_model` is what recipe and ranges make of the float model; `shown` may show the progress over the layers.
    """
    operators = read_operators(int8_model)
    layers, all_macs = quantized_layers(operators), sum(operator.macs for operator in operators)
    outputs = output_errors(float_run.model, int8_model, [layer.output for layer in layers], float_run.clips)

    def effect(changed: Recipe) -> Effect:
        return float_run.effect_of(apply_recipe(float_run.model, changed, ranges))

    errors = [
        LayerError(
            layer=layer.layer,
            operator=layer.kind,
            mac_share=layer.macs / all_macs,
            output=outputs[layer.output],
            alone=effect(with_one_layer_in_int8(recipe, layer)),
            spared=effect(with_layers_in_float(recipe, [layer], "spared for comparison")),
        )
        for layer in shown(layers)
    ]
    return sorted(errors, key=lambda error: error.alone.embedding_cosine_p1)


def output_errors(
    float_model: bytes, int8_model: bytes, tensors: Sequence[str], clips: np.ndarray
) -> dict[str, LayerOutputError]:
    """Compare tensors that both models have, by name, over clips (n, 32000).

    Both run in LiteRT's own kernels, because XNNPACK keeps no values between operators; its int8 results differ from
    them by single steps.
    """
    sums = {name: np.zeros(4) for name in tensors}
    float_recorder, int8_recorder = (_Recorder(model, tensors) for model in (float_model, int8_model))
    for clip in clips:
        float_values, int8_values = float_recorder.values(clip), int8_recorder.values(clip)
        for name, total in sums.items():
            x, y = float_values[name], int8_values[name]
            total[:3] += x @ x, y @ y, x @ y
            total[3] = max(total[3], np.abs(x - y).max())
    return {name: _output_error(*total) for name, total in sums.items()}


def _output_error(float_energy: float, int8_energy: float, product: float, max_abs: float) -> LayerOutputError:
    error_energy = max(float_energy - 2 * product + int8_energy, 0.0)
    smallest = float_energy * 10 ** (-NO_ERROR_DB / 10) + np.finfo(float).tiny
    sqnr_db = 10 * np.log10((float_energy + np.finfo(float).tiny) / max(error_energy, smallest))
    lengths = np.sqrt(float_energy * int8_energy)
    return LayerOutputError(float(sqnr_db), float(product / lengths) if lengths else 1.0, float(max_abs))


class _Recorder:
    """A model that keeps what its operators wrote."""

    def __init__(self, model: bytes, tensors: Sequence[str]) -> None:
        self._interpreter = Interpreter(
            model_content=model,
            num_threads=1,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self._run = self._interpreter.get_signature_runner(SIGNATURE)
        details = {detail["name"]: detail for detail in self._interpreter.get_tensor_details()}
        self._kept = {name: (details[name]["index"], *details[name]["quantization"]) for name in tensors}

    def values(self, clip: np.ndarray) -> dict[str, np.ndarray]:
        """Run a clip (32000,); each tensor flat, float64, int8 ones as the numbers that they stand for."""
        self._run(**{INPUT: clip[None]})
        values = {}
        for name, (index, scale, zero_point) in self._kept.items():
            raw = self._interpreter.get_tensor(index).astype(np.float64).ravel()
            values[name] = (raw - zero_point) * scale if scale else raw
        return values
