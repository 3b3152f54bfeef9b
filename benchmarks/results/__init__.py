"""What a result is, and what its readers make of it."""
