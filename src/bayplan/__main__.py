"""``python -m bayplan``."""

import sys

from bayplan.cli.main import main

sys.exit(main())
