"""What the engineer reads: measured costs of the screening."""
