"""The text of Dockerfiles and of ``.dockerignore``: what every builder reads, ours and those of other engines."""
