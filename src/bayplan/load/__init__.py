"""Text to models."""
