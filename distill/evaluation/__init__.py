"""Measures a bundle on labelled and on composed recordings."""
