"""Runs: stages, checkpoints, and what is fitted on held-out rows."""
