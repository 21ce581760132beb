"""The Open Inference Protocol, version 2: over REST, and over gRPC on a port of its own."""
