"""Losses for imbalanced classes: our experts, and the published methods they are compared with."""
