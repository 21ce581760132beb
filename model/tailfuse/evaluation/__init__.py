"""Metrics by subset, and the pages that tell of them."""
