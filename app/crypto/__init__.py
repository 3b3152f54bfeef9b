"""Seals bytes: the only part of the app beside the vault that knows a cipher."""
