"""Which models are timed, and how they take turns."""
