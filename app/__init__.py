"""The window that the field worker uses."""
