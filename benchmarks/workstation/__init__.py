"""The benchmarks that run on this machine."""
