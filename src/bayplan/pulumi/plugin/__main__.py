"""The plugin, as Pulumi's host for Python starts a folder."""

from bayplan.pulumi.launch import entry

entry()
