"""``python -m bayplan.pulumi``: the plugin."""

from bayplan.pulumi.launch import entry

entry()
