"""``python -m bayplan``."""

from bayplan.cli.main import entry

entry()
