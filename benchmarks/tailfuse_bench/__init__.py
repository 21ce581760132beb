"""The protocol as a command: methods, sets and seeds; one table of results; one report."""
