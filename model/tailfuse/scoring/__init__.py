"""Predictions for the rows of a table, piece by piece."""
