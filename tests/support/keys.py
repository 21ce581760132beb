"""Keys."""

KEY = "a-key-for-the-tests-of-the-client"
