"""Inference: batching, shadows and explanations, from raw values to predictions."""
