"""``python -m bayplan.pulumi``: the plugin."""

import sys

from bayplan.pulumi.launch import entry

sys.exit(entry())
