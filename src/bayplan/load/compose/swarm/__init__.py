"""The same files read for a swarm: services as `docker stack deploy` names and labels them."""

from bayplan.load.compose.swarm.assemble import assemble

__all__ = ["assemble"]
