"""The trial: a child process opens and runs a new bundle before the service does."""
