"""The networks that are trained and exported."""
