"""The spec, read and checked."""
