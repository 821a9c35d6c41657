"""Verbs that Docker, Podman and Compose have, and what does the same here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_HERE = {
    "compose": "`bayplan apply`, `destroy`, `ps` ... read Compose files themselves",
    "container": "`bayplan ps`, `inspect`, `rm` ... are of containers",
    "deploy": "`bayplan apply` makes the host match",
    "down": "`bayplan destroy` removes the project; `--volumes` its data too",
    "help": "`bayplan --help`",
    "images": "`bayplan image ls` lists them",
    "import": "`bayplan image import`",
    "info": "`bayplan check` looks at what is stored, docs/host.md has the settings",
    "ls": "`bayplan ps` lists containers; so do `image ls`, `network ls`, `volume ls`",
    "load": "`bayplan image load`",
    "networks": "`bayplan network ls` lists them",
    "push": "`bayplan image push`",
    "rmi": "`bayplan image rm`",
    "save": "`bayplan image save`",
    "scale": "set `scale` or `deploy.replicas` in the Compose file, then `bayplan apply`",
    "stack": "`bayplan apply`; on a swarm with `--engine swarm`",
    "system": "`bayplan prune`, `image prune`, `volume prune`, `network prune`",
    "tag": "`bayplan image tag`",
    "up": "`bayplan plan` shows, `bayplan apply` makes the host match; `--service NAME`: a part of it",
    "version": "`bayplan --version`",
    "volumes": "`bayplan volume ls` lists them",
}


def hint(verb: str, known: Iterable[str]) -> str:
    """What to call instead of a verb that is none: what does the same, what is spelled alike, or all there are."""
    if verb in _HERE:
        return _HERE[verb]
    names = list(known)
    near = difflib.get_close_matches(verb, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
