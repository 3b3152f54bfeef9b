from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.phone.benchmark_model import (
    DELEGATE_GRAPH,
    Delegation,
    FormatError,
    last_words,
    parse_output,
    parse_profile,
)
from core.errors import TussisError

DATA = Path(__file__).parents[2] / "data" / "benchmark_model"
OUTPUTS = sorted(path.name for path in DATA.glob("*.txt"))
MODERN = "tf2_16_xnnpack.txt"
TABLE = "litert_operators.csv"


def read(name):
    return (DATA / name).read_text(encoding="utf-8")


def test_every_recorded_output_is_understood_and_there_are_six():
    assert len(OUTPUTS) == 6
    for name in OUTPUTS:
        metrics = parse_output(read(name), name).metrics
        assert metrics["min_ms"] <= metrics["mean_ms"] <= metrics["max_ms"]
        assert metrics["load_ms"] > 0 and metrics["first_run_ms"] > metrics["mean_ms"]


def test_a_modern_output_gives_every_number_in_milliseconds():
    output = parse_output(read(MODERN), MODERN)
    assert output.metrics == pytest.approx(
        {
            **{"load_ms": 4.211, "first_run_ms": 4.902, "warm_up_mean_ms": 2.7593},
            **{"min_ms": 2.699, "max_ms": 3.31, "mean_ms": 2.74793, "std_ms": 0.046},
            **{"p5_ms": 2.713, "p50_ms": 2.741, "p95_ms": 2.802},
            **{"memory_load_mb": 2.83594, "memory_mb": 4.96875, "memory_peak_mb": 9.60156},
        }
    )
    assert output.n_runs == 364
    assert output.delegation == Delegation("XNNPACK", "whole")


def test_logcat_holds_the_same_as_the_terminal():
    terminal, logcat = (parse_output(read(name), name) for name in (MODERN, "logcat.txt"))
    assert terminal == logcat


def test_carriage_returns_of_an_old_adb_change_nothing():
    assert parse_output(read(MODERN).replace("\n", "\r\n"), MODERN) == parse_output(read(MODERN), MODERN)


def test_litert_own_tool_prints_milliseconds():
    metrics = parse_output(read("litert_tool.txt"), "litert_tool.txt").metrics
    assert (metrics["load_ms"], metrics["first_run_ms"]) == (5.03, 5.12)
    assert (metrics["memory_load_mb"], metrics["memory_mb"]) == (3.02, 5.2) and "memory_peak_mb" not in metrics


def test_memory_that_was_not_watched_is_left_out_and_never_zero():
    metrics = parse_output(read("tf2_16_gpu_part.txt"), "it").metrics
    assert metrics["memory_mb"] == pytest.approx(72.1094) and "memory_peak_mb" not in metrics


def test_the_delegate_is_told_apart_from_one_that_was_asked_for_and_took_nothing():
    shares = {name: parse_output(read(name), name).delegation for name in OUTPUTS if name.startswith("tf2_16")}
    assert shares == {
        "tf2_16_builtin.txt": None,
        "tf2_16_gpu_none.txt": Delegation("GPU", "none"),
        "tf2_16_gpu_part.txt": Delegation("GPU", "part"),
        "tf2_16_xnnpack.txt": Delegation("XNNPACK", "whole"),
    }


def test_runs_that_all_took_the_same_time_have_that_mean_and_no_spread():
    text = read(MODERN).replace(
        "count=364 first=2748 curr=2739 min=2699 max=3310 avg=2747.93 std=46 p5=2713 median=2741 p95=2802",
        "count=50 curr=2740(all same) p5=2740 median=2740 p95=2740",
    )
    output = parse_output(text.replace("Inference (avg): 2747.93", "Inference (avg): 2740"), MODERN)
    assert output.n_runs == 50
    assert [output.metrics[f"{name}_ms"] for name in ("min", "mean", "max", "std")] == [2.74, 2.74, 2.74, 0]


def test_large_times_come_with_an_exponent():
    text = read(MODERN).replace("avg=2747.93", "avg=2.7479e+03").replace("(avg): 2747.93", "(avg): 2.7479e+03")
    assert parse_output(text, "it").metrics["mean_ms"] == pytest.approx(2.7479)


def test_operators_keep_their_order_and_graph_and_those_of_loading_are_left_out():
    operators = parse_profile(read(TABLE), TABLE)
    assert [operator.graph for operator in operators] == ["primary", *[DELEGATE_GRAPH] * 3]
    convolution = operators[2]
    assert convolution.node_type == "Convolution (NHWC, QC8) IGEMM"
    assert convolution.name == "Delegate/Convolution (NHWC, QC8) IGEMM:1"
    assert (convolution.mean_ms, convolution.share_percent, convolution.times_called) == (1.611, 63.0035, 1)


def test_operators_of_subgraphs_are_told_apart():
    text = read(TABLE).replace("Delegate internal: ", "Subgraph (index: 1, name: while_body) profile:")
    assert [operator.graph for operator in parse_profile(text, TABLE)] == ["primary", *["subgraph 1"] * 3]


def test_a_share_of_nothing_is_none():
    text = read(TABLE).replace("2.731, 100%, 100%", "2.731, -nan%, -nan%")
    assert parse_profile(text, "it")[0].share_percent is None


@pytest.mark.parametrize(
    ("old", "new", "quoted"),
    [
        ("min=2699", "min=9999", "count=364"),
        ("p95=2802", "p95=28O2", "p95=28O2"),
        ("avg=2747.93", "avg=nan", "avg=nan"),
        ("std=46", "std=-9223372036854775808", "std=-9223372036854775808"),
        ("count=364", "count=0", "count=0"),
        ("median=2741 p95=2802", "median=2741", "median=2741"),
        ("init=2.83594 overall", "init=2.8359\noverall", "init=2.8359"),
        ("Inference (avg): 2747.93", "Inference (avg): 1747.93", "two runs mixed"),
        ("Inference (avg): 2747.93", "Inference (avg): ", "Inference timings in us"),
        ("Inference timings in us", "Timings", "lacks the summary"),
    ],
)
def test_a_result_that_is_torn_or_contradicts_itself_is_refused_with_its_line(old, new, quoted):
    text = read(MODERN)
    assert old in text
    with pytest.raises(FormatError, match="phone 7") as refused:
        parse_output(text.replace(old, new), "the output of phone 7")
    assert quoted in str(refused.value)


def test_an_output_that_broke_off_is_refused_wherever_it_broke():
    lines = read(MODERN).splitlines(keepends=True)
    end = next(n for n, line in enumerate(lines) if "Inference timings" in line)
    for n in range(end + 1):
        with pytest.raises(FormatError):
            parse_output("".join(lines[:n]), "it")


def test_what_is_no_output_at_all_is_refused_with_its_last_line():
    with pytest.raises(FormatError, match="not executable: 64-bit ELF file"):
        parse_output("/system/bin/sh: ./benchmark_model: not executable: 64-bit ELF file\n", "it")
    with pytest.raises(FormatError, match="nothing"):
        parse_output("", "it")


def test_the_tools_own_error_comes_before_later_lines():
    text = "INFO: Loaded model x\nERROR: Failed to apply GPU delegate.\nERROR: Benchmarking failed.\nbye\n"
    assert last_words(text) == "ERROR: Benchmarking failed."
    assert last_words("STARTING!\nSegmentation fault\n\n") == "Segmentation fault"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("avg_ms", "mean of ms"),
        ("TfLiteXNNPackDelegate, 4.102, 2.731", "TfLiteXNNPackDelegate, 4.102"),
        ("63.0035%", "63.0035"),
        ("1.611", "1.6l1"),
    ],
)
def test_a_table_that_is_not_what_its_header_says_is_refused_with_the_line(old, new):
    text = read(TABLE)
    assert old in text
    with pytest.raises(FormatError, match="the line '"):
        parse_profile(text.replace(old, new), "operators.csv")


def test_a_csv_without_a_table_is_refused():
    with pytest.raises(FormatError, match="no operator"):
        parse_profile("node type, first\n", "operators.csv")


RECORDED = st.sampled_from([read(name) for name in OUTPUTS] + [read(path.name) for path in DATA.glob("*.csv")])
SPLICE = st.one_of(
    st.text(max_size=20), st.sampled_from(["count=", "9" * 400, "1e999", "nan", "%", "\t", "=" * 30, "٣", "\r"])
)


@given(text=RECORDED, cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), SPLICE), max_size=4))
def test_a_damaged_output_is_read_or_refused_and_never_anything_else(text, cuts):
    for place, removed, spliced in cuts:
        at = int(place * len(text))
        text = text[:at] + spliced + text[at + removed :]
    for parse in (parse_output, parse_profile):
        try:
            parse(text, "it")
        except TussisError as error:
            assert "\n" not in str(error) and len(str(error)) < 600


@given(text=st.text())
def test_any_text_is_read_or_refused_and_never_anything_else(text):
    for parse in (parse_output, parse_profile):
        with pytest.raises(FormatError):
            parse(text, "it")
