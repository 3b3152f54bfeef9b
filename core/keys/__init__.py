"""Private keys in files, which workstations have and phones do not."""
