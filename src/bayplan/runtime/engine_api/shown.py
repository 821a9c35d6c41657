"""An inspection as it may be shown: it ends in tickets and chats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.models import labels

_MASK = "***"


def masked(found: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
    """Without the values that may be secrets: those of variables that are not the image's own, and our record of them.

    ``image`` is the image's configuration.
    """
    config = dict(found.get("Config") or {})
    public = set(image.get("Env") or ())
    given = config.get("Env") or ()
    config["Env"] = [item if item in public else f"{item.partition('=')[0]}={_MASK}" for item in given]
    config["Labels"] = {key: value for key, value in (config.get("Labels") or {}).items() if key != labels.DECLARATION}
    shown = {**found, "Config": config}
    # Podman's own record of how it was made repeats them.
    config.pop("CreateCommand", None)
    return shown
