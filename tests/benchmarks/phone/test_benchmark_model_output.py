from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.phone.benchmark_model_output import Delegation, Memory, last_words, parse_output
from benchmarks.phone.profile import DELEGATE_GRAPH, INITIALIZATION, RUNS, FormatError, parse_profile_csv, parse_tables
from core.errors import TussisError

DATA = Path(__file__).parents[2] / "data" / "benchmark_model"
OUTPUTS = sorted(path.name for path in DATA.glob("*.txt"))
MODERN = "tf2_16_xnnpack.txt"


def read(name):
    return (DATA / name).read_text(encoding="utf-8")


def test_every_recorded_version_is_understood_and_there_are_nine():
    assert len(OUTPUTS) == 9
    for name in OUTPUTS:
        metrics = parse_output(read(name), name).metrics()
        assert metrics["min_ms"] <= metrics["mean_ms"] <= metrics["max_ms"]
        assert metrics["load_ms"] > 0 and metrics["first_run_ms"] > metrics["mean_ms"]


def test_a_modern_output_gives_every_number_in_milliseconds():
    output = parse_output(read(MODERN), MODERN)
    assert output.metrics() == pytest.approx(
        {
            **{"load_ms": 4.211, "first_run_ms": 4.902, "warm_up_mean_ms": 2.7593},
            **{"min_ms": 2.699, "max_ms": 3.31, "mean_ms": 2.74793, "std_ms": 0.046},
            **{"p5_ms": 2.713, "p50_ms": 2.741, "p95_ms": 2.802},
            **{"memory_load_mb": 2.83594, "memory_mb": 4.96875, "memory_peak_mb": 9.60156},
        }
    )
    assert (output.runs.n_runs, output.warm_up.n_runs) == (364, 181)
    assert output.delegation == Delegation("XNNPACK", "whole")


def test_percentiles_that_a_version_does_not_print_are_left_out_and_never_zero():
    metrics = parse_output(read("tf2_4.txt"), "tf2_4.txt").metrics()
    assert not {"p5_ms", "p50_ms", "p95_ms", "memory_peak_mb"} & set(metrics)
    assert metrics["memory_mb"] == pytest.approx(7.04297)


def test_the_first_run_of_the_oldest_version_is_that_of_its_warm_up():
    output = parse_output(read("tf1_15.txt"), "tf1_15.txt")
    assert (output.first_us, output.init_us, output.runs.mean_us) == (8120, 2117, 5203.12)
    assert output.memory is None


def test_logcat_says_the_same_as_the_terminal():
    terminal, logcat = (parse_output(read(name), name) for name in (MODERN, "logcat.txt"))
    assert terminal == logcat


def test_carriage_returns_of_an_old_adb_change_nothing():
    assert parse_output(read(MODERN).replace("\n", "\r\n"), MODERN) == parse_output(read(MODERN), MODERN)


def test_litert_own_tool_speaks_in_milliseconds():
    output = parse_output(read("litert_tool.txt"), "litert_tool.txt")
    assert output.init_us == pytest.approx(5030) and output.first_us == pytest.approx(5120)
    assert output.memory == Memory(3.02, 5.2, None)


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
    runs = parse_output(text.replace("Inference (avg): 2747.93", "Inference (avg): 2740"), MODERN).runs
    assert (runs.n_runs, runs.min_us, runs.mean_us, runs.max_us, runs.std_us) == (50, 2740, 2740, 2740, 0)


def test_large_times_come_with_an_exponent():
    text = (
        read("tf1_15.txt")
        .replace("avg=5203.12", "avg=5.2031e+03")
        .replace("Inference: 5203.12", "Inference: 5.2031e+03")
    )
    assert parse_output(text, "it").runs.mean_us == pytest.approx(5203.1)


def test_operators_of_a_text_table_keep_their_order_stage_and_graph():
    operators = parse_output(read("litert_profile.txt"), "litert_profile.txt").operators
    assert [(its.stage, its.graph) for its in operators] == [
        *[(INITIALIZATION, "primary")] * 2,
        (RUNS, "primary"),
        *[(RUNS, DELEGATE_GRAPH)] * 3,
    ]
    assert operators[4].node_type == "Convolution (NHWC, QC8) IGEMM"
    assert (operators[4].first_ms, operators[4].mean_ms, operators[4].times_called) == (2.402, 1.611, 1)
    assert operators[4].share_percent == pytest.approx(63.004)


@pytest.mark.parametrize(
    ("text", "csv"), [("tf2_4.txt", "tf2_4_operators.csv"), ("litert_profile.txt", "litert_operators.csv")]
)
def test_a_csv_holds_the_same_operators_as_the_table_in_text(text, csv):
    ours, theirs = parse_tables(read(text), text), parse_profile_csv(read(csv), csv)
    assert len(ours) == len(theirs) > 0
    for mine, its in zip(ours, theirs, strict=True):
        assert (mine.node_type, mine.stage, mine.graph, mine.mean_ms) == (
            its.node_type,
            its.stage,
            its.graph,
            its.mean_ms,
        )
        assert mine.name.replace(" ", "") == its.name.replace(" ", "")
        assert mine.share_percent == pytest.approx(its.share_percent, abs=1e-3)


def test_a_share_of_nothing_is_none():
    text = read("tf2_4_operators.csv").replace(
        " 100%, 100%, 0, 1, AllocateTensors/0", " -nan%, -nan%, 0, 1, AllocateTensors/0"
    )
    assert parse_profile_csv(text, "it")[0].share_percent is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
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
def test_a_result_that_is_torn_or_contradicts_itself_is_refused_with_its_line(old, new, said):
    text = read(MODERN)
    assert old in text
    with pytest.raises(FormatError, match="phone 7") as refused:
        parse_output(text.replace(old, new), "the output of phone 7")
    assert said in str(refused.value)


def test_an_output_that_broke_off_is_refused_wherever_it_broke():
    lines = read(MODERN).splitlines(keepends=True)
    end = next(n for n, line in enumerate(lines) if "Inference timings" in line)
    for n in range(end + 1):
        with pytest.raises(FormatError):
            parse_output("".join(lines[:n]), "it")


def test_what_is_no_output_at_all_is_refused_with_what_it_says():
    with pytest.raises(FormatError, match="not executable: 64-bit ELF file"):
        parse_output("/system/bin/sh: ./benchmark_model: not executable: 64-bit ELF file\n", "it")
    with pytest.raises(FormatError, match="nothing"):
        parse_output("", "it")


def test_the_tools_own_error_comes_before_what_it_says_after():
    text = "INFO: Loaded model x\nERROR: Failed to apply GPU delegate.\nERROR: Benchmarking failed.\nbye\n"
    assert last_words(text) == "ERROR: Benchmarking failed."
    assert last_words("STARTING!\nSegmentation fault\n\n") == "Segmentation fault"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("avg_ms", "mean of ms"),
        ("CONV_2D, 0.004, 1.902, 1.811", "CONV_2D, 0.004, 1.902"),
        ("40.4964%", "40.4964"),
        ("1.811", "1.8l1"),
    ],
)
def test_a_table_that_is_not_what_its_header_says_is_refused_with_the_line(old, new):
    text = read("tf2_4_operators.csv")
    assert old in text
    with pytest.raises(FormatError, match="the line '"):
        parse_profile_csv(text.replace(old, new), "operators.csv")


def test_a_csv_without_a_table_is_refused():
    with pytest.raises(FormatError, match="no operator"):
        parse_profile_csv("node type, first\n", "operators.csv")


RECORDED = st.sampled_from([read(name) for name in OUTPUTS] + [read(path.name) for path in DATA.glob("*.csv")])
SPLICE = st.one_of(
    st.text(max_size=20), st.sampled_from(["count=", "9" * 400, "1e999", "nan", "%", "\t", "=" * 30, "٣", "\r"])
)


@given(text=RECORDED, cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), SPLICE), max_size=4))
def test_a_damaged_output_is_read_or_refused_and_never_anything_else(text, cuts):
    for place, removed, spliced in cuts:
        at = int(place * len(text))
        text = text[:at] + spliced + text[at + removed :]
    for parse in (parse_output, parse_profile_csv):
        try:
            parse(text, "it")
        except TussisError as error:
            assert "\n" not in str(error) and len(str(error)) < 600


@given(text=st.text())
def test_any_text_is_read_or_refused_and_never_anything_else(text):
    for parse in (parse_output, parse_profile_csv):
        with pytest.raises(FormatError):
            parse(text, "it")
