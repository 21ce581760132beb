"""The data that tailfuse brings along, as a folder like a user's own."""
