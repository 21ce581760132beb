"""What runs in the rivals' environment: it has no tailfuse, so only relative imports and their libraries."""
