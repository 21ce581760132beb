"""Rivals: other libraries' classifiers, each run in an environment of its own on a problem in a folder."""
