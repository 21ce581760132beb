"""Ray as a test starts it."""
