"""The plugin, as Pulumi's host for Python starts a folder."""

import sys

from bayplan.pulumi.server import entry

sys.exit(entry())
