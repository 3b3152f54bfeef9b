"""What the casebook knows of people and their recordings, as values."""
