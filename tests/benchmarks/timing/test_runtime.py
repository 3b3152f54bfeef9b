"""What a model costs is counted from its file."""

from benchmarks.timing.runtime import model_costs
from core.bundle import Bundle


def test_the_weights_that_a_model_reads_are_within_its_file(default_bundle: Bundle):
    content = default_bundle.read_model()
    costs = model_costs(content, "xnnpack", "the shipped model")
    assert 0.8 * len(content) < costs["weight_bytes"] < len(content)
    assert costs["n_partitions"] == 1 and model_costs(content, "builtin", "it")["n_partitions"] == 0
    assert costs["activation_bytes"] > 4 * 32_000
