"""Pretraining on one GPU machine without a network."""
