"""Which models are served: bundles on disk, their versions, roles and replacement."""
