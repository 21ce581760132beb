"""What is done before a release: build and try the distributions, write the lowest versions down."""
