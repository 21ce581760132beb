"""Fit posteriors, confidences and fusion to a calibration set, once the network is trained."""
