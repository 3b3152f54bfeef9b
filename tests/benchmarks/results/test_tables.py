"""Tables say once what all rows share, and keep what fits."""

from dataclasses import replace

from benchmarks.results.result import Result, describe_run, make_result, make_row
from benchmarks.results.tables import print_result, result_tables, words

RUN = describe_run(1, "xnnpack", b"a model")


def a_result(names: tuple[str, ...] = ("ours", "theirs"), columns: tuple[str, ...] = ("p50_ms", "layer")) -> Result:
    rows = [
        make_row(name, "model", RUN, {"max_ms": 9.0, "p50_ms": float(place)}, 2.0, 3, facts={"layer": "[red]", "n": 1})
        for place, name in enumerate(names)
    ]
    whole = make_row("ours", "whole", RUN, {"peak_bytes": 4}, n_runs=9)
    facts = {"columns": [*columns, "peak_bytes"], "headline": "p50"}
    return make_result("latency", "in turns", [*rows, whole], facts=facts)


def test_a_table_has_the_columns_of_its_kind_and_says_once_what_all_rows_share():
    table, whole = result_tables(a_result())
    assert table.columns == ("name", "stage", "p50 ms", "layer")
    assert table.caption == "threads 1, delegate xnnpack, audio s 2, n runs 3"
    assert table.rows[1] == ("theirs", "model", "1", "[red]") and table.sizes == (0.0, 1.0)
    assert whole.columns == ("stage", "peak bytes") and whole.in_words() == [
        "name ours, threads 1, delegate xnnpack, n runs 9, stage whole, peak bytes 4"
    ]
    every, _ = result_tables({**a_result(), "facts": {}})
    assert every.columns == ("name", "stage", "max ms", "p50 ms", "layer", "n")


def test_a_narrow_table_keeps_its_first_columns_and_a_short_one_its_important_rows():
    table, _ = result_tables(a_result(columns=("p50_ms", "max_ms", "n", "layer")))
    assert table.narrowed(32).columns == ("name", "stage", "p50 ms", "max ms")
    assert table.narrowed(1).columns == table.narrowed(32).columns and table.narrowed(200) == table
    stages = ("000 a", "001 b", "002 c: part")
    numbered = replace(table, columns=("stage",), rows=tuple((stage,) for stage in stages), sizes=(1.0, 3.0, 9.0))
    assert [row[0] for row in numbered.shortened(1).rows] == ["001 b"]
    assert [row[0] for row in numbered.shortened(2).rows] == ["000 a", "001 b"]


def test_what_is_printed_is_all_of_it_where_nobody_looks_and_what_fits_on_a_terminal(capsys, monkeypatch):
    print_result(a_result(names=("ours", "n" * 200)))
    printed = capsys.readouterr().out
    assert "n" * 200 in printed and "[red]" in printed and "headline: p50" in printed and RUN["cpu"] in printed
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "32")
    print_result(a_result(columns=("p50_ms", "max_ms", "n", "layer")))
    assert "Not shown, but in the JSON: n, layer." in capsys.readouterr().out


def test_values_are_in_words_for_people():
    assert [words(value) for value in (None, [], True, 1234567, 0.123456, 12345.6, ["a", 2])] == [
        *("-", "-", "yes", "1,234,567", "0.1235", "12,346", "a, 2")
    ]
    assert words({"before": 1.5, "after": None}) == "before 1.5, after -"
