"""What to answer instead of the same bytes."""
