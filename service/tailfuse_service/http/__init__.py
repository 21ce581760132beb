"""HTTP: connections, routing, request bodies, problems, keys."""
