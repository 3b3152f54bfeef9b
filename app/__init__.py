"""What the field worker sees."""
