"""What tailfuse does on a GPU: `make gpu-check`. See README.md."""
