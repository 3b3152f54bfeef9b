"""Runs a command in this process as its entry point does."""

import sys
from collections.abc import Callable
from unittest.mock import patch


def exit_code_of(main: Callable[[], int | None], *words: object) -> int:
    """What `main` exits with where the command line is `words`, the first of them its name."""
    with patch.object(sys, "argv", [str(word) for word in words]):
        try:
            status = main()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 1
    assert isinstance(status, int), f"{words[0]} ended without an exit status"
    return status
