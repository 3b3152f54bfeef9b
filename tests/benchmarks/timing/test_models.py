"""A student is cut into parts that are timed alone."""

from benchmarks.timing.runtime import model_costs
from core.bundle import Bundle
from quantize.tflite_parts import BODY, FRONT_END, HEADS, three_parts


def test_a_student_is_cut_into_front_end_body_and_heads_whose_sums_are_the_whole(default_bundle: Bundle):
    content = default_bundle.read_model()
    parts = three_parts(content, "the shipped model")
    assert list(parts) == [FRONT_END, BODY, HEADS]
    macs = {name: model_costs(part, "xnnpack", name)["macs"] for name, part in parts.items()}
    assert sum(macs.values()) == model_costs(content, "xnnpack", "the model")["macs"]
    assert macs[BODY] > macs[FRONT_END] > macs[HEADS] > 0
