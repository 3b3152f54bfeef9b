import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.arm64.jobs import read_counts
from core.errors import DataError


@settings(max_examples=50)
@given(
    n_runs=st.lists(st.integers(2, 6), min_size=1, max_size=5),
    marking=st.integers(0, 2000),
    cost=st.integers(1, 10**9),
    dots=st.integers(0, 10**6),
)
def test_counts_are_medians_without_the_first_run_and_without_what_marking_costs(n_runs, marking, cost, dots):
    at, total_dots, lines = 10**10, 5, []
    for run in [None, *(run for runs in n_runs for run in range(runs))]:
        lines.append(f"{at} {total_dots}")
        at += marking if run is None else marking + (cost if run else 3 * cost)
        total_dots += dots if run is not None else 0
        lines.append(f"{at} {total_dots}")
        at += 12345
    parts = {f"part {number}": runs for number, runs in enumerate(n_runs)}
    counts = read_counts("\n".join(lines), parts)
    assert counts == {name: {"instructions": cost, "dot_products": dots, "spread": 0.0} for name in parts}


@pytest.mark.parametrize("marks", ["", "1 2\n3 4\n", "1 2\n3 4\n5 6\n7 8\n9 10\n11", "a b\n" * 6])
def test_marks_of_something_else_are_refused(marks):
    with pytest.raises(DataError, match="expected 6, of two numbers each"):
        read_counts(marks, {"whole": 2})
