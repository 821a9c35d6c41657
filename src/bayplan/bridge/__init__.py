"""The face for programs: one JSON request on standard input, one JSON response on standard output."""
