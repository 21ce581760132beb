"""Metrics of probabilities against labels: functions of arrays, no more."""
