"""The benchmarks that run on a connected phone."""
