"""The commands of tussis-benchmark are listed and helped with before anything heavy is imported."""

import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from benchmarks import command

ROOT = Path(__file__).parents[2]
HEAVY = ("numpy", "torch", "matplotlib", "jsonschema", "ai_edge_litert", "jinja2", "scipy")


def test_every_command_is_listed_and_an_unknown_one_is_refused():
    listed = CliRunner().invoke(command.app, ["--help"])
    assert listed.exit_code == 0
    for name in [entry.name or entry.callback.__name__ for entry in command.app.registered_commands]:
        assert name in listed.stdout
        assert CliRunner().invoke(command.app, [name, "--help"]).exit_code == 0
    assert CliRunner().invoke(command.app, ["speed"]).exit_code == 2


def test_the_help_of_a_benchmark_imports_nothing_heavy():
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom benchmarks.command import app\n"
        "assert CliRunner().invoke(app, ['roofline', '--help']).exit_code == 0\n"
        f"sys.exit(', '.join(set(sys.modules) & set({HEAVY})) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
