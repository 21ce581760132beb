"""What is done before a release: the distributions are built and tried, and the lowest versions are written down."""
