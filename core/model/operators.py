"""Lists the operators that a student may be built from, and works out what each gives and costs from its inputs."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from core.model.flatbuffer import INTEGERS, Kind, Layout, ModelError, read_table, scalar
from core.model.graph import WIDTHS, Operator, Tensor

Shape = tuple[int, ...]
ACTIVATIONS = (0, 1, 2, 3)  # none, ReLU, ReLU from -1 to 1, ReLU6
SAME, VALID = 0, 1  # paddings
MAX_SCALE_RATIO = 2.0**10  # of what goes into integer arithmetic to what comes out; more overflows the runtime's shifts
MAX_BROADCAST_DIMENSIONS = 4
POINTER_BYTES = 8


@dataclass(frozen=True)
class Call:
    """An operator with its tensors; an input that is left out is None."""

    kind: str
    options: Mapping[str, Any]
    inputs: tuple[Tensor | None, ...]
    output: Tensor

    def refuse(self, reason: str) -> ModelError:
        """A fault that names the operator."""
        return ModelError(f"{self.kind} {reason}")

    def tensor(self, number: int) -> Tensor:
        """An input that has to be there."""
        tensor = self.inputs[number]
        if tensor is None:
            raise self.refuse(f"lacks its input {number}")
        return tensor

    def whole_numbers(self, number: int) -> np.ndarray:
        """The values of an input that has to be a constant list of int32."""
        tensor = self.tensor(number)
        if tensor.constant is None or tensor.type != "int32" or len(tensor.shape) > 2:
            raise self.refuse(f"takes input {number} from a computation; expected whole numbers in the file")
        return tensor.constant

    def expect_types(self, *allowed: tuple[str, ...]) -> None:
        """Refuse types of inputs and output, in this order, that are none of those allowed."""
        types = (*(tensor.type for tensor in self.inputs if tensor), self.output.type)
        if types not in allowed:
            raise self.refuse(f"computes {types[-1]} from {', '.join(types[:-1])}")


@dataclass(frozen=True)
class Outcome:
    """The output's shape, multiply-adds beyond one for each number read or written, and bytes of working memory."""

    shape: Shape
    macs: int = 0
    scratch_bytes: int = 0


@dataclass(frozen=True)
class Rule:
    """A kind of operator: TFLite's codes of it and of its options, these options, how many inputs, what comes out."""

    code: int
    options_type: int
    outcome: Callable[[Call], Outcome]
    n_inputs: tuple[int, ...]
    fields: Mapping[int, tuple[str, Kind]]

    @cached_property
    def options(self) -> Layout:
        """How the options are read."""
        return Layout(self.fields)


def outcome_of(operator: Operator, tensors: tuple[Tensor, ...], content: bytes) -> tuple[Call, Outcome]:
    """What an operator of a graph computes; raises `ModelError` where it is not allowed or cannot be computed."""
    if operator.code not in _BY_CODE:
        raise ModelError(f"it needs operator {operator.code}; expected only {', '.join(RULES)}")
    kind = _BY_CODE[operator.code]
    rule = RULES[kind]
    if len(operator.inputs) not in rule.n_inputs or len(operator.outputs) != 1:
        raise ModelError(f"{kind} has {len(operator.inputs)} inputs and {len(operator.outputs)} outputs")
    if operator.options_type not in (0, rule.options_type):
        raise ModelError(f"{kind} has options of another operator")
    options = rule.options.defaults
    if operator.options_type and operator.options_at is not None:
        options = read_table(content, operator.options_at, rule.options)
    if options.get("activation", 0) not in ACTIVATIONS:
        raise ModelError(f"{kind} has activation {options['activation']}; expected one of {ACTIVATIONS}")
    inputs = tuple(tensors[index] if index >= 0 else None for index in operator.inputs)
    call = Call(kind, options, inputs, tensors[operator.outputs[0]])
    outcome = rule.outcome(call)
    if call.output.shape != outcome.shape:
        raise call.refuse(f"gives {outcome.shape}, and the file says {call.output.shape}")
    return call, outcome


def _elementwise(call: Call) -> Outcome:
    call.expect_types(("float32",) * 3, *([] if call.kind == "DIV" else [("int8",) * 3]))
    first, second = call.tensor(0), call.tensor(1)
    if call.output.type == "int8":
        product = float(first.scales[:1].sum()) * float(second.scales[:1].sum())
        _check_scales(call, *([product] if call.kind == "MUL" else [first.scales, second.scales]))
    if first.shape != second.shape and max(len(first.shape), len(second.shape)) > MAX_BROADCAST_DIMENSIONS:
        raise call.refuse(f"joins the shapes {first.shape} and {second.shape}")
    try:
        return Outcome(np.broadcast_shapes(first.shape, second.shape))
    except ValueError:
        raise call.refuse(f"joins the shapes {first.shape} and {second.shape}") from None


def _unary(call: Call) -> Outcome:
    call.expect_types(*_UNARY_TYPES[call.kind])
    for tensor in (call.tensor(0), call.output):
        if tensor.type == "int8" and not len(tensor.scales):
            raise call.refuse("has an int8 tensor without a scale")
    if call.kind == "QUANTIZE":
        _check_scales(call, *([call.tensor(0).scales] if call.tensor(0).type == "int8" else []))
    return Outcome(call.tensor(0).shape)


_UNARY_TYPES = {
    "LOG": (("float32", "float32"),),
    "DEQUANTIZE": (("float16", "float32"), ("int8", "float32")),
    "QUANTIZE": (("float32", "int8"), ("int8", "int8")),
}


def _concatenation(call: Call) -> Outcome:
    given = [call.tensor(number) for number in range(len(call.inputs))]
    call.expect_types(*((kind,) * (len(given) + 1) for kind in ("float32", "int8")))
    shape, axis = given[0].shape, call.options["axis"]
    axis += len(shape) if axis < 0 else 0
    if not 0 <= axis < len(shape) or call.options["activation"]:
        raise call.refuse(f"joins tensors of {len(shape)} dimensions along {call.options['axis']}")
    if any(tensor.shape[:axis] + tensor.shape[axis + 1 :] != shape[:axis] + shape[axis + 1 :] for tensor in given):
        raise call.refuse(f"joins tensors that differ beyond dimension {axis}")
    return Outcome((*shape[:axis], sum(tensor.shape[axis] for tensor in given), *shape[axis + 1 :]))


def _mean(call: Call) -> Outcome:
    shape = call.tensor(0).shape
    call.expect_types(("float32", "int32", "float32"), ("int8", "int32", "int8"))
    axes = [axis + len(shape) if axis < 0 else axis for axis in call.whole_numbers(1).ravel().tolist()]
    if not axes or len(set(axes)) != len(axes) or not all(0 <= axis < len(shape) for axis in axes):
        raise call.refuse(f"takes the mean of {len(shape)} dimensions over {axes}")
    if call.output.type == "int8":
        _check_scales(call, call.tensor(0).scales)
    keeps = call.options["keeps_dimensions"]
    sizes = [1 if axis in axes else size for axis, size in enumerate(shape) if keeps or axis not in axes]
    return Outcome(tuple(sizes))


def _pad(call: Call) -> Outcome:
    shape, paddings = call.tensor(0).shape, call.whole_numbers(1)
    call.expect_types(("float32", "int32", "float32"), ("int8", "int32", "int8"))
    if paddings.shape != (len(shape), 2) or not shape or paddings.min() < 0:
        raise call.refuse(f"adds {paddings.tolist()[:8]} to a tensor of {len(shape)} dimensions")
    return Outcome(tuple(size + sum(pair) for size, pair in zip(shape, paddings.tolist(), strict=True)))


def _reshape(call: Call) -> Outcome:
    given = call.tensor(0)
    if given.type != call.output.type or given.type not in ("float32", "int8"):
        raise call.refuse(f"makes {call.output.type} of {given.type}")
    wanted = call.whole_numbers(1).tolist() if len(call.inputs) == 2 else list(call.options["shape"])
    unknown = [place for place, size in enumerate(wanted) if size == -1]
    if len(unknown) == 1:
        wanted[unknown[0]] = given.n_elements // max(1, math.prod(size for size in wanted if size != -1))
    if any(not isinstance(size, int) or size < 1 for size in wanted) or math.prod(wanted) != given.n_elements:
        raise call.refuse(f"makes {wanted} of {given.shape}")
    return Outcome(tuple(wanted))


def _slice(call: Call) -> Outcome:
    given = call.tensor(0)
    call.expect_types(("float32", "int32", "int32", "float32"), ("int8", "int32", "int32", "int8"))
    begins, sizes = (call.whole_numbers(number).tolist() for number in (1, 2))
    if not given.shape or len(begins) != len(given.shape) or len(sizes) != len(given.shape):
        raise call.refuse(f"cuts {len(begins)} dimensions of {len(given.shape)}")
    taken = []
    for begin, size, whole in zip(begins, sizes, given.shape, strict=True):
        end = whole if size == -1 else begin + size
        if not 0 <= begin < end <= whole:
            raise call.refuse(f"takes {begin} to {end} of {whole}")
        taken.append(end - begin)
    return Outcome(tuple(taken))


def _strided_slice(call: Call) -> Outcome:
    shape, options = call.tensor(0).shape, call.options
    call.expect_types(*((kind, "int32", "int32", "int32", kind) for kind in ("float32", "int8")))
    bounds = [call.whole_numbers(number).tolist() for number in (1, 2, 3)]
    if any(len(numbers) != len(shape) for numbers in bounds) or not shape or options["others"] or options["added"]:
        raise call.refuse(f"cuts a tensor of {len(shape)} dimensions in another way than dimension by dimension")
    taken = []
    for place, (begin, end, step, size) in enumerate(zip(*bounds, shape, strict=True)):
        bit = 1 << place
        first = 0 if options["from_begin"] & bit else begin + (size if begin < 0 else 0)
        last = size if options["to_end"] & bit else end + (size if end < 0 else 0)
        if options["dropped"] & bit:
            last = first + 1
        if not 0 <= first < last <= size or step < 1 or options["is_offset"]:
            raise call.refuse(f"takes {begin} to {end} by {step} of {size}")
        if not options["dropped"] & bit:
            taken.append(-(-(last - first) // step))
    return Outcome(tuple(taken))


def _transpose(call: Call) -> Outcome:
    shape, order = call.tensor(0).shape, call.whole_numbers(1).tolist()
    call.expect_types(("float32", "int32", "float32"), ("int8", "int32", "int8"))
    if sorted(order) != list(range(len(shape))):
        raise call.refuse(f"orders {len(shape)} dimensions as {order}")
    return Outcome(tuple(shape[place] for place in order))


def _fully_connected(call: Call) -> Outcome:
    given, weights = call.tensor(0), call.tensor(1)
    if len(weights.shape) != 2 or not given.shape or call.options["weights_format"]:
        raise call.refuse(f"has weights of shape {weights.shape}; expected two dimensions")
    n_units, depth = weights.shape
    if given.shape[-1] != depth:
        raise call.refuse(f"multiplies {given.shape} by weights of shape {weights.shape}")
    _check_weights(call, n_units, 0)
    rows = given.shape[:-1] if call.options["keeps_dimensions"] else (given.n_elements // depth,)
    return Outcome((*rows, n_units), given.n_elements * n_units)


def _convolution(call: Call) -> Outcome:
    given, weights, options = call.tensor(0), call.tensor(1), call.options
    is_depthwise = call.kind == "DEPTHWISE_CONV_2D"
    if len(given.shape) != 4 or len(weights.shape) != 4 or options["padding"] not in (SAME, VALID):
        raise call.refuse(f"has an input of shape {given.shape} and weights of shape {weights.shape}")
    n_batch, height, width, n_in = given.shape
    n_out, depth = (weights.shape[3], weights.shape[0]) if is_depthwise else (weights.shape[0], weights.shape[3])
    if depth != (1 if is_depthwise else n_in) or (is_depthwise and n_out != n_in * options["multiplier"]):
        raise call.refuse(f"has {n_in} channels and weights of shape {weights.shape}")
    _check_weights(call, n_out, 3 if is_depthwise else 0)
    sizes = [
        _convolved(call, size, kernel, options[f"stride_{axis}"], options[f"dilation_{axis}"])
        for axis, size, kernel in (("h", height, weights.shape[1]), ("w", width, weights.shape[2]))
    ]
    n_places, kernel = n_batch * math.prod(sizes), weights.shape[1] * weights.shape[2]
    scratch_bytes = n_places * kernel * max(POINTER_BYTES, WIDTHS[given.type] * n_in)
    return Outcome((n_batch, *sizes, n_out), n_places * n_out * kernel * depth, scratch_bytes)


def _convolved(call: Call, size: int, kernel: int, stride: int, dilation: int) -> int:
    covered = (kernel - 1) * dilation + 1
    if not 1 <= stride <= size or dilation < 1 or (call.options["padding"] == VALID and covered > size):
        raise call.refuse(f"moves a kernel of {kernel} by {stride}, dilated by {dilation}, over {size}")
    return -(-size // stride) if call.options["padding"] == SAME else (size - covered) // stride + 1


def _check_weights(call: Call, n_out: int, axis: int) -> None:
    """Types, scales and bias of an operator with weights; int8 weights of a float32 input have a scale each channel."""
    given, weights, bias = call.tensor(0), call.tensor(1), call.inputs[2] if len(call.inputs) == 3 else None
    types = (given.type, weights.type, call.output.type)
    is_hybrid = types == ("float32", "int8", "float32")
    if types not in ((("float32",) * 3), ("int8",) * 3) and not is_hybrid:
        raise call.refuse(f"computes {types[2]} from {types[0]} by weights of {types[1]}")
    if weights.type == "int8":
        if weights.constant is None or len(weights.scales) not in (1, n_out) or weights.zero_points.any():
            raise call.refuse(f"has int8 weights with {len(weights.scales)} scales; expected constants of {n_out}")
        if len(weights.scales) > 1 and weights.axis != axis:
            raise call.refuse(f"has scales along dimension {weights.axis} of its weights; expected {axis}")
    if given.type == "int8":
        _check_scales(call, given.scales[:1] * weights.scales)
    if bias is not None:
        kind = "int32" if given.type == "int8" else "float32"
        if (
            bias.shape != (n_out,)
            or bias.type != kind
            or bias.constant is None
            or len(bias.scales) not in (0, 1, n_out)
        ):
            raise call.refuse(f"has a bias of {bias.type} {bias.shape}; expected a constant {kind} ({n_out},)")


def _check_scales(call: Call, *scales: Any) -> None:
    """Refuse integers without one scale each tensor, and scales so far apart that the runtime's shifts overflow."""
    integers = [tensor for tensor in (call.tensor(0), call.output) if tensor.type == "int8"]
    if any(len(tensor.scales) != 1 for tensor in integers) or any(np.size(given) == 0 for given in scales):
        raise call.refuse("computes with integers that have no scale, or more than one")
    if any(np.max(given) > MAX_SCALE_RATIO * float(call.output.scales[0]) for given in scales):
        raise call.refuse("computes with integers whose scales are too far apart")


_ACTIVATION = {0: ("activation", scalar("b"))}
_SUM_OPTIONS = {**_ACTIVATION, 1: ("is_power_of_two_scale", scalar("?", True))}
_DILATIONS = {5: ("dilation_w", scalar("i", 1)), 6: ("dilation_h", scalar("i", 1))}
_STRIDES = {0: ("padding", scalar("b")), 1: ("stride_w", scalar("i")), 2: ("stride_h", scalar("i"))}
_CONV_OPTIONS = {
    **_STRIDES,
    3: ("activation", scalar("b")),
    4: ("dilation_w", scalar("i", 1)),
    5: ("dilation_h", scalar("i", 1)),
}
_DEPTHWISE_OPTIONS = {**_STRIDES, 3: ("multiplier", scalar("i")), 4: ("activation", scalar("b")), **_DILATIONS}
_CONNECTED_OPTIONS = {
    **_ACTIVATION,
    1: ("weights_format", scalar("b")),
    2: ("keeps_dimensions", scalar("?", False)),
    3: ("is_asymmetric", scalar("?", False)),
}
_STRIDED_OPTIONS = {
    0: ("from_begin", scalar("i")),
    1: ("to_end", scalar("i")),
    2: ("others", scalar("i")),
    3: ("added", scalar("i")),
    4: ("dropped", scalar("i")),
    5: ("is_offset", scalar("?", False)),
}
_KEEPS = {0: ("keeps_dimensions", scalar("?", False))}
_JOIN_OPTIONS = {0: ("axis", scalar("i")), 1: ("activation", scalar("b"))}

RULES = {
    "ADD": Rule(0, 11, _elementwise, (2,), _SUM_OPTIONS),
    "CONCATENATION": Rule(2, 10, _concatenation, tuple(range(1, 65)), _JOIN_OPTIONS),
    "CONV_2D": Rule(3, 1, _convolution, (2, 3), _CONV_OPTIONS),
    "DEPTHWISE_CONV_2D": Rule(4, 2, _convolution, (2, 3), _DEPTHWISE_OPTIONS),
    "DEQUANTIZE": Rule(6, 38, _unary, (1,), {}),
    "DIV": Rule(42, 29, _elementwise, (2,), _ACTIVATION),
    "FULLY_CONNECTED": Rule(9, 8, _fully_connected, (2, 3), _CONNECTED_OPTIONS),
    "LOG": Rule(73, 0, _unary, (1,), {}),
    "MEAN": Rule(40, 27, _mean, (2,), _KEEPS),
    "MUL": Rule(18, 21, _elementwise, (2,), _ACTIVATION),
    "PAD": Rule(34, 22, _pad, (2,), {}),
    "QUANTIZE": Rule(114, 89, _unary, (1,), {}),
    "RESHAPE": Rule(22, 17, _reshape, (1, 2), {0: ("shape", INTEGERS)}),
    "SLICE": Rule(65, 48, _slice, (3,), {}),
    "STRIDED_SLICE": Rule(45, 32, _strided_slice, (4,), _STRIDED_OPTIONS),
    "SUB": Rule(41, 28, _elementwise, (2,), _SUM_OPTIONS),
    "TRANSPOSE": Rule(39, 26, _transpose, (2,), {}),
}
"""What a student may be built from: LiteRT's builtin operators that XNNPACK runs on a phone's processor."""

STUDENT_OPERATORS = frozenset(RULES)
_BY_CODE = {rule.code: kind for kind, rule in RULES.items()}
