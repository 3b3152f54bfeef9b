"""Fits and evaluates probes on embeddings."""
