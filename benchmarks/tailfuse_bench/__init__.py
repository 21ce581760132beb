"""Benchmark of tailfuse and its baselines on many data sets: the command `tailfuse bench`."""
