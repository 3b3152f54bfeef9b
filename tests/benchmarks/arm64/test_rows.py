import copy
import json

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.arm64 import rows
from benchmarks.arm64.check import SCHEMA
from benchmarks.arm64.rows import from_arm64, read_arm64
from benchmarks.results.result import check_result, read_result
from core.errors import DataError

APP = typer.Typer()
APP.command()(rows.arm64)
DATE = "2026-01-02T03:04:05Z"
DIFFERENCE = {"n_inputs": 16, "n_identical": 16, "n_values": 100, "n_different": 0, "max_abs": 0.0, "max_relative": 0.0}


def count(name, instructions, audio_s, of_yamnet):
    its = {"name": name, "audio_s": audio_s, "instructions": instructions, "dot_products": 1000, "spread": 0.0}
    return {**its, "per_audio_s": instructions / audio_s, "of_yamnet": of_yamnet}


def processor(cpu, factor):
    outputs = {"embedding": DIFFERENCE, "event_logits": DIFFERENCE}
    counts = [
        count("int8 whole", 8_000_000 * factor, 2.0, 0.25),
        count("int8 front end", 3_000_000 * factor, 2.0, 0.1),
        count("YAMNet", 15_600_000 * factor, 0.975, 1.0),
    ]
    decisions = {"n_event_decisions": 128, "event_flips": 0, "n_frames": 800, "frame_flips": 1}
    compared = {"front_end": {"int8": DIFFERENCE}, "codes": DIFFERENCE, "integer_body": DIFFERENCE}
    same = {"outputs": {"int8": outputs}, "outputs_of_same_codes": outputs, "decisions": decisions}
    return {"processor": cpu, "counts": counts, **compared, **same}


REPORT = {
    **{"schema": SCHEMA, "protocol": "counted", "models": {"int8": "a" * 64, "YAMNet": "b" * 64}},
    **{"emulator": "qemu-aarch64 7.2", "guest": ["ai-edge-litert==2.1.6", "numpy==2.2.6"], "commit": "abc"},
    "processors": [processor("cortex-a76", 1), processor("cortex-a53", 2)],
}


def test_each_part_on_each_processor_is_a_row_with_its_instructions(tmp_path):
    path = tmp_path / "arm64.json"
    path.write_text(json.dumps(REPORT))
    rows = check_result(read_arm64(path), "the result")["rows"]
    assert [(row["name"], row["stage"], row["cpu"]) for row in rows] == [
        *(("int8", "whole", "cortex-a76"), ("int8", "front end", "cortex-a76"), ("YAMNet", "whole", "cortex-a76")),
        *(("int8", "whole", "cortex-a53"), ("int8", "front end", "cortex-a53"), ("YAMNet", "whole", "cortex-a53")),
    ]
    first, front_end, yamnet = rows[:3]
    assert first["metrics"]["instructions_per_audio_s"] == 4e6 and first["metrics"]["of_yamnet"] == 0.25
    assert first["audio_s"] == 2.0 and yamnet["audio_s"] == 0.975
    assert rows[3]["metrics"]["instructions"] == 2 * first["metrics"]["instructions"]
    assert first["runtime"] == "ai-edge-litert 2.1.6" and first["model_sha256"] == "a" * 64
    assert first["instructions"] == ["asimddp"] and rows[3]["instructions"] == []
    assert any("activity frames flip" in line for line in first["facts"]["agreement"])
    assert "facts" not in front_end


def test_without_yamnet_there_is_no_share_and_the_reports_own_date_counts():
    report = copy.deepcopy(REPORT)
    for its in report["processors"]:
        its["counts"] = [{**row, "of_yamnet": None} for row in its["counts"][:2]]
    rows = from_arm64({**report, "date": "2020-01-01T00:00:00Z"}, DATE)
    assert len(rows) == 4 and all("of_yamnet" not in row["metrics"] for row in rows)
    assert rows[0]["date"] == "2020-01-01T00:00:00Z" and from_arm64(report, DATE)[0]["date"] == DATE


def test_another_report_or_a_part_of_one_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"of the schema 'tussis\.latency/1'; expected 'tussis\.arm64/1'"):
        from_arm64({"schema": "tussis.latency/1"}, DATE)
    with pytest.raises(DataError, match="the report lacks a part of"):
        from_arm64({**REPORT, "processors": [{"processor": "cortex-a76"}]}, DATE)
    files = {"list.json": "[]", "text.json": "no", "bytes.json": b"\xff\xfe\xff", "gone.json": None}
    for name, content in files.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        result = CliRunner().invoke(APP, [str(path)])
        assert result.exit_code == 2 and name in result.stderr and result.stderr.count("\n") == 1


def test_the_command_writes_rows_and_shows_a_column_for_each_processor(tmp_path):
    path, out = tmp_path / "arm64.json", tmp_path / "rows.json"
    path.write_text(json.dumps(REPORT))
    result = CliRunner().invoke(APP, [str(path), "--json", str(out)])
    assert result.exit_code == 0, result.stderr
    assert len(read_result(out)["rows"]) == 6
    assert "cortex-a76" in result.stdout and "int8 front end" in result.stdout and "0.250" in result.stdout
