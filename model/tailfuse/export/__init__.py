"""Graphs, their parity, and the bundle around them."""
