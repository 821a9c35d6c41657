"""Labels by which Bayplan and Compose-aware tools recognise what belongs to a project."""

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
NETWORK = "com.docker.compose.network"
VOLUME = "com.docker.compose.volume"
MANAGED = "io.bayplan.managed"
"""Present (value ``true``) on everything that Bayplan made; only such things are ever removed."""
