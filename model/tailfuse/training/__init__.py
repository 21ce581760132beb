"""Runs: stages, checkpoints, and what is fitted on the calibration set."""
