"""What is trained and exported."""
