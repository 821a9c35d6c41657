"""What was done: the journal of applies."""
