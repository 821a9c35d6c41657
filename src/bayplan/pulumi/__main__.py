"""``python -m bayplan.pulumi``: the plugin."""

import sys

from bayplan.pulumi.server import entry

sys.exit(entry())
