"""Benchmark of tailfuse and its baselines on many datasets: the command `tailfuse bench`."""
