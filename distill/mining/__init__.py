"""Finds clips with health sounds in unlabelled recordings."""
