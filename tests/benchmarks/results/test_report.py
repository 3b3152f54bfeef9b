"""A report shows results of any kind, needs nothing beside itself, and runs nothing that a result may hold."""

import base64
import html
import re
import resource
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from benchmarks import command
from benchmarks.results.plots import draw_plot
from benchmarks.results.report import draw_plots, plot_file, render_markdown, render_page
from benchmarks.results.result import Kind, Result, make_result, make_row, write_result
from benchmarks.results.runner import Run
from tests.benchmarks.results.sample_results import RUN, comparison_result, latency_result, new_kind


def run_report(*arguments: object):
    return CliRunner().invoke(command.app, ["report", *(str(argument) for argument in arguments)])


class Outside(HTMLParser):
    """Collects scripts, and whatever a page would load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Every element that runs or loads."""
        loads = [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        self.found += [value for value in loads if not value.startswith("data:image/svg+xml;base64,")]
        self.found += [tag] if tag in ("script", "iframe", "object", "embed", "link") else []
        self.found += [name for name, _ in attrs if name.startswith("on")]


def test_the_command_writes_a_table_and_a_page_that_needs_nothing_beside_itself(tmp_path):
    for name, result in (("latency", latency_result()), ("diff", comparison_result()), ("new", new_kind())):
        write_result(tmp_path / f"{name}.json", result)
    said = run_report(
        *(tmp_path / f"{name}.json" for name in ("latency", "diff", "new")), "--out", tmp_path / "a" / "b"
    )
    assert said.exit_code == 0, said.stderr
    folder = tmp_path / "a" / "b"
    assert sorted(path.name for path in folder.iterdir()) == ["diff.svg", "latency.svg", "report.html", "report.md"]
    page, markdown = ((folder / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    for text in (page, markdown):
        for words_ in (
            "Latency: latency.json",
            "Something new: new.json",
            "750,000",
            "0.9877",
            "body.blocks.0",
            "slower",
        ):
            assert words_ in text
        assert RUN["cpu"].replace("|", "\\|") in html.unescape(text) and RUN["commit"] in text
    outside = Outside()
    outside.feed(page)
    assert outside.found == [] and page.count("<img") == 2
    assert "threads 1, delegate xnnpack, n runs 4" in markdown and "| ours | model | 2 | 1.75 |" in markdown
    assert "ratios, name ours, to YAMNet, threads 1, delegate xnnpack, stage model, value 0.5, low 0.45" in markdown


evil = st.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a | b\nc", "](javascript:x)", "$x$"]
)


@pytest.mark.long
@settings(max_examples=10)
@given(name=evil | st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_what_a_result_holds_is_shown_and_never_run(name):
    results = {name: new_kind() | {"protocol": name}, "plotted": latency_result(name)}
    page = render_page(results, draw_plots(results))
    outside = Outside()
    outside.feed(page)
    assert outside.found == []
    rows = [make_row(name, "x", RUN, {"b": number}) for number in range(2)]
    table = to_markdown_rows(render_markdown({"a.json": make_result("memory", "m", rows)}, {}))
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {3}
    assert "<" not in "".join(table)


def to_markdown_rows(markdown: str) -> list[str]:
    return [line for line in markdown.splitlines() if line.startswith("|")]


def test_rows_of_a_run_that_ended_early_are_shown(tmp_path):
    with pytest.raises(KeyboardInterrupt), Run(Kind("latency", "in turns"), tmp_path / "a.json") as run:
        run.append(latency_result()["rows"][0])
        raise KeyboardInterrupt
    said = run_report(tmp_path / "a.json.partial", "--out", tmp_path / "out")
    assert said.exit_code == 0 and "ended early: yes" in (tmp_path / "out" / "report.md").read_text()


def many_rows(kind: str, stages: list[str], **changes: object) -> Result:
    rows = [
        make_row("ours", stage, RUN | changes, {"us": float(number), "share": 0.1, "words": 1}, n_runs=9)
        for number, stage in enumerate(stages)
    ]
    return make_result(kind, "one by one", rows, facts={"columns": ["us", "share"]})


def test_the_markdown_is_short_and_shows_one_thread_and_of_many_operators_the_slowest():
    stages = [f"{number:03d} body.block CONV_2D" for number in range(90)]
    results = {f"{n}.json": many_rows("operators", stages) for n in range(9)}
    results["two.json"] = many_rows("latency", ["screening", "screening: decode", "model"])
    results["two.json"]["rows"] += many_rows("latency", ["on two threads"], threads=2)["rows"]
    markdown = render_markdown(results, {"0.json": "<svg/>"})
    assert 100 < markdown.count("\n") <= 120
    assert "| 089 body.block CONV_2D | 89 | 0.1 |" in markdown and "000 body.block" not in markdown
    assert "| model |" in markdown and "on two threads" not in markdown
    assert "on two threads" in render_page(results, {}) and "000 body.block" in render_page(results, {})


def test_what_is_no_result_and_a_folder_that_cannot_be_made_are_refused(tmp_path):
    (tmp_path / "old.json").write_text('{"schema": "tussis.benchmark/2"}')
    write_result(tmp_path / "good.json", latency_result())
    for arguments, said in (
        ((tmp_path / "old.json", "--out", tmp_path / "out"), 'is of the schema "tussis.benchmark/2"; expected'),
        ((tmp_path / "gone.json", "--out", tmp_path / "out"), "cannot be read: No such file"),
        ((tmp_path / "good.json", "--out", tmp_path / "old.json"), "cannot be made: File exists"),
    ):
        refused = run_report(*arguments)
        assert refused.exit_code == 2 and said in refused.stderr and refused.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_two_files_of_one_name_keep_their_folders(tmp_path):
    for folder in ("main", "branch"):
        (tmp_path / folder).mkdir()
        write_result(tmp_path / folder / "latency.json", latency_result())
    paths = [tmp_path / folder / "latency.json" for folder in ("main", "branch")]
    assert run_report(*paths, "--out", tmp_path / "out").exit_code == 0
    assert all(str(path) in Path(tmp_path / "out" / "report.md").read_text() for path in paths)


def test_the_image_in_the_page_is_the_plot():
    plots = draw_plots({"a.json": latency_result()})
    page = render_page({"a.json": latency_result()}, plots)
    (found,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert base64.b64decode(html.unescape(found)).decode() == plots["a.json"] == draw_plot(latency_result())


def test_the_markdown_links_the_plots_that_lie_beside_it(tmp_path):
    write_result(tmp_path / "a (1).json", latency_result())
    assert run_report(tmp_path / "a (1).json", "--out", tmp_path / "out").exit_code == 0
    (link,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (tmp_path / "out" / "report.md").read_text(encoding="utf-8"))
    assert (tmp_path / "out" / link).read_text(encoding="utf-8") == draw_plot(latency_result())
    assert plot_file("../x/y.json") == "_x_y.svg" and plot_file("](javascript:x).json") == "_javascript_x_.svg"


def test_a_full_disk_leaves_no_half_page(tmp_path):
    write_result(tmp_path / "a.json", latency_result())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, limits[1]))
    try:
        refused = run_report(tmp_path / "a.json", "--out", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert refused.exit_code == 2 and refused.stderr.endswith("report.html cannot be written: File too large.\n")
    assert list((tmp_path / "out").iterdir()) == []


HOSTILE = ("[/x]", "<script>alert(1)</script>", "![t](http://x/y)", "a\n## Forged", "`a` *b*", "\x1b[2J")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_result_that_means_harm_is_text_in_the_report_and_on_the_terminal(tmp_path, hostile):
    rows = [make_row(hostile, hostile, RUN, {"p50_ms": float(n)}, facts={hostile: hostile}) for n in (1, 2)]
    facts = {hostile: [{hostile: hostile}, {hostile: None}], "note": {hostile: [hostile]}}
    write_result(tmp_path / "a.json", make_result("something_new", hostile, rows[:1], facts=facts))
    write_result(tmp_path / "b.json", make_result("something_new", hostile, rows[1:], facts=facts))
    said = run_report(tmp_path / "a.json", tmp_path / "b.json", "--out", tmp_path / "out")
    assert said.exit_code == 0, said.output
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    links = markdown.replace("![Plot of", "").replace("](a.svg)", "").replace("](b.svg)", "")
    assert not re.search(r"<script|!\[|\]\(|`|\x1b", links)
    assert [line for line in markdown.splitlines() if line.startswith("## ")] == [
        "## Something new: a.json",
        "## Something new: b.json",
    ]
    compared = CliRunner().invoke(command.app, ["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert compared.exit_code == 0, compared.output
    assert "\x1b" not in compared.output and hostile.split("\n")[0].replace("\x1b", "\\x1b") in compared.output


@pytest.mark.parametrize("facts", [{"round_ms": 5}, {"round_ms": ["a"] * 9}, {"role": ["peer"]}, {"role": {}}])
def test_facts_of_another_kind_than_a_comparison_reads_are_passed_over(tmp_path, facts):
    rows = [make_row("ours", "model", RUN, {"p50_ms": 1.0}, facts=facts)]
    write_result(tmp_path / "a.json", make_result("latency", "p", rows))
    compared = CliRunner().invoke(command.app, ["compare", *[str(tmp_path / "a.json")] * 2])
    assert compared.exit_code == 0, compared.output
