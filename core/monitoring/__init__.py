"""Hears a stream of any length in flat memory."""
