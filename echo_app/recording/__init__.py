"""What is known of a connection, and the log that says it."""
