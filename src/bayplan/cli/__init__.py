"""The command ``bayplan``: parse, call ``bayplan.app``, render."""
