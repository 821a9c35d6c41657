"""The plugin, as Pulumi's host for Python starts a folder."""

import sys

from bayplan.pulumi.launch import entry

sys.exit(entry())
