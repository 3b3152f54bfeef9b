"""The only place that says which operator of a model each of the runtime's profiled operators is."""

from collections.abc import Sequence

from benchmarks.workstation.runtime_profiler import ProfilerError

# What XNNPACK calls that which a TFLite operator becomes, by its first words.
XNNPACK_NAMES: dict[str, tuple[str, ...]] = {
    "ABS": ("Abs",),
    "ADD": ("Add",),
    "AVERAGE_POOL_2D": ("Average Pooling", "Global Average Pooling", "Mean"),
    "BATCH_MATMUL": ("Batch Matrix Multiply", "Fully Connected", "Dynamic Fully Connected"),
    "CONCATENATION": ("Copy", "Concatenate"),
    "CONV_2D": ("Convolution", "Fully Connected"),
    "DEPTHWISE_CONV_2D": ("Convolution", "Depthwise"),
    "DEQUANTIZE": ("Convert",),
    "DIV": ("Divide",),
    "EXP": ("Exp",),
    "FULLY_CONNECTED": ("Fully Connected", "Dynamic Fully Connected"),
    "HARD_SWISH": ("HardSwish",),
    "LOG": ("Log",),
    "LOGISTIC": ("Sigmoid",),
    "MAXIMUM": ("Maximum",),
    "MAX_POOL_2D": ("Max Pooling",),
    "MEAN": ("Mean", "Global Average Pooling"),
    "MINIMUM": ("Minimum",),
    "MUL": ("Multiply", "Square"),
    "NEG": ("Negate",),
    "PAD": ("Constant Pad",),
    "POW": ("Square", "Copysign"),
    "QUANTIZE": ("Convert",),
    "RELU": ("Clamp",),
    "RELU6": ("Clamp",),
    "RESHAPE": ("Static Reshape", "Copy"),
    "RSQRT": ("Reciprocal Square Root",),
    "SLICE": ("Slice",),
    "SOFTMAX": ("Softmax",),
    "SQRT": ("Square Root",),
    "SQUARE": ("Square",),
    "STRIDED_SLICE": ("Slice",),
    "SUB": ("Subtract",),
    "SUM": ("Sum", "Mean"),
    "TANH": ("Tanh",),
    "TRANSPOSE": ("Transpose",),
}
# Folded into a neighbour, or into weights when the model is loaded: no operator of XNNPACK's stands for them.
MAY_VANISH = ("DEQUANTIZE", "PAD", "QUANTIZE", "RELU", "RELU6", "RESHAPE")
# One operator may become several: a copy for each part, or what makes a product's inputs ready and then the product.
MOST_PARTS = {"BATCH_MATMUL": 3, "CONCATENATION": 8, "CONV_2D": 3, "FULLY_CONNECTED": 3}
BEFORE_A_PRODUCT = ("Convert", "Static Reshape")


def align(names: Sequence[str], kinds: Sequence[str]) -> list[list[int]]:
    """Which profiled operators each of a model's operators became; both are in the order in which they run.

    Of several assignments one is taken in which the fewest operators vanish.

    Parameters
    ----------
    names : sequence of str
        XNNPACK's names, or TFLite's of an operator that no delegate took.
    kinds : sequence of str
        The model's operators.

    Returns
    -------
    list of list of int
        For each of `kinds` the positions in `names`, one after the other; empty where it was folded away.

    Raises
    ------
    ProfilerError
        If no assignment in order leaves out only operators that may vanish.
    """
    kept: list[dict[int, tuple[int, int]]] = [{0: (0, 0)}]
    for kind in kinds:
        kept.append(_extended(kept[-1], kind, names))
    if len(names) not in kept[-1]:
        raise ProfilerError(f"the runtime's {len(names)} profiled operators do not fit the model's {len(kinds)}.")
    groups, done = [], len(names)
    for reached in reversed(kept[1:]):
        _, parts = reached[done]
        groups.append(list(range(done - parts, done)))
        done -= parts
    return groups[::-1]


def _extended(before: dict[int, tuple[int, int]], kind: str, names: Sequence[str]) -> dict[int, tuple[int, int]]:
    """One operator more: by how many names are assigned, how many operators are left, and how many names this one took.

    `before` is the same without it.
    """
    after: dict[int, tuple[int, int]] = {}
    for done, (n_left, _) in before.items():
        for parts in _possible_parts(kind, names[done : done + MOST_PARTS.get(kind, 1)]):
            candidate = n_left + (parts > 0), parts
            if candidate[0] > after.get(done + parts, (-1, 0))[0]:
                after[done + parts] = candidate
    return after


def _possible_parts(kind: str, following: Sequence[str]) -> list[int]:
    """How many of the names that follow an operator of this kind may have become."""
    own = (kind, *XNNPACK_NAMES.get(kind, ()))
    before = BEFORE_A_PRODUCT if kind in MOST_PARTS and kind != "CONCATENATION" else ()
    possible = [0] if kind in MAY_VANISH else []
    for parts, name in enumerate(following, 1):
        if name.startswith(own):
            possible.append(parts)
            if before:
                break
        elif not name.startswith(before or own):
            break
    return possible
