"""The Python API: what `import tailfuse` offers. Each name is imported when it is used."""
