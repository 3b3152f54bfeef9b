"""Measures and hears sound while it is recorded, and knows nothing of devices or of what is kept."""
