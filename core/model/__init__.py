"""Reads model files that nobody vouched for far enough to know what the runtime would do with them."""
