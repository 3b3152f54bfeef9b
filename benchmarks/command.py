"""The only place where the commands of ``tussis-benchmark`` are registered, each imported only when it is called."""

import importlib
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup


class Command(NamedTuple):
    """Where a command's function is: a module of this folder and its name there."""

    module: str
    function: str


# One line a command. Importing torch, matplotlib or a converter takes seconds, so nothing here is imported before use.
COMMANDS = {
    "latency": Command("benchmarks.workstation.latency", "latency"),
    "stages": Command("benchmarks.workstation.stages", "stages"),
    "operators": Command("benchmarks.workstation.operators", "operators"),
    "roofline": Command("benchmarks.workstation.roofline", "roofline"),
    "memory": Command("benchmarks.workstation.memory", "memory"),
    "accuracy": Command("benchmarks.workstation.accuracy", "accuracy"),
    "monitoring": Command("benchmarks.workstation.monitoring", "monitoring"),
    "sustained": Command("benchmarks.workstation.sustained", "sustained"),
    "scale": Command("benchmarks.workstation.length", "scale"),
    "phone": Command("benchmarks.phone.measure", "phone"),
    "arm64": Command("benchmarks.arm64.rows", "arm64"),
    "compare": Command("benchmarks.results.compare", "compare"),
    "report": Command("benchmarks.results.report", "report"),
}


class LazyCommands(TyperGroup):
    """The commands above; a command's module is imported when that command, or the list of all, is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command as typer makes it of the function, None for a name that is none."""
        if cmd_name not in COMMANDS:
            return None
        where = COMMANDS[cmd_name]
        single = typer.Typer(add_completion=False)
        single.command(cmd_name)(getattr(importlib.import_module(where.module), where.function))
        return typer.main.get_command(single)


app = typer.Typer(cls=LazyCommands, add_completion=False, no_args_is_help=True)


@app.callback()
def benchmark() -> None:
    """Measure what the shipped model costs."""


def main() -> None:
    """Entry point of ``tussis-benchmark``."""
    app()


if __name__ == "__main__":
    main()
