"""`python -m model`: the same as `tailfuse`."""

from model.cli import main

main(prog_name="tailfuse")
