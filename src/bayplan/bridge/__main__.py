"""``python -m bayplan.bridge``."""

import sys

from bayplan.bridge.main import main

raise SystemExit(main(sys.stdin, sys.stdout))
