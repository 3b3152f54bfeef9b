"""Runs a command of typer so that neither a full terminal nor what its arguments hold does harm."""

import typer

from core.process.terminal import printable, say, steady_streams


def run_app(app: typer.Typer) -> None:
    """Carry out the command line and end with its status; complaints quote arguments safely."""
    with steady_streams():
        try:
            status = app(standalone_mode=False)
        except Exception as error:
            if not hasattr(error, "format_message"):  # of click's errors, wherever typer has them from
                raise
            context = getattr(error, "ctx", None)
            usage = "" if context is None else f"{context.get_usage()}\nTry --help.\n"
            say(f"{usage}{printable(f'Error: {error.format_message()}')}", is_error=True)
            raise SystemExit(getattr(error, "exit_code", 2)) from error
        raise SystemExit(status if isinstance(status, int) else 0)
