"""`python -m tailfuse`: the same as `tailfuse`."""

from tailfuse.cli import main

main(prog_name="tailfuse")
