"""What a name of an image stands for, and its push to a registry: for who keeps count of what is there."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from bayplan import app
from bayplan.bridge.image_acts import digest_of, id_of, pushed_digest
from bayplan.bridge.request import said
from bayplan.bridge.rooms import Asked
from bayplan.errors import DeclarationError, NotFoundError
from bayplan.models import Image, ImageReference
from bayplan.registry.client import RegistryClient
from bayplan.registry.remove import remove


def resolved(asked: Asked) -> dict[str, Any]:
    """The digest of ``name`` (``platform``, ``pull``), by reading alone."""
    options = {key: asked.options[key] for key in ("name", "platform", "pull") if asked.options.get(key) is not None}
    try:
        image = Image.model_validate(options)
    except ValidationError as error:
        raise DeclarationError(said(error), where="resolved request") from error
    with asked.opened() as (runtime, _):
        found = runtime.resolve(image)
    return {"changed": False, "image": found.model_dump(mode="json")}


def pushed(asked: Asked) -> dict[str, Any]:
    """Push the image ``source`` (the name itself when unset) as ``name``, unless the registry has the same already.

    ``digest`` is what the registry has under the name, in a check what it had before. With ``only_look`` that is all.
    ``state: absent`` deletes there what has ``digest``, or an index with it; what else has the name by now stays.
    """
    name = asked.text("name")
    if asked.options.get("state") == "absent":
        reference = ImageReference.parse(name)
        return {"changed": remove(RegistryClient(asked.settings), reference, asked.text("digest")), "digest": ""}
    source = str(asked.options.get("source") or name)
    with asked.opened() as (runtime, _):
        there = pushed_digest(runtime, name)
        if asked.options.get("only_look"):
            return {"changed": False, "digest": there}
        here = id_of(runtime, source)
        if here is None:
            raise NotFoundError(f"image {source} is not on the host", where=f"image {name}", hint="pull or build it")
        changed = digest_of(runtime, source) != there
        if changed and not asked.check:
            if id_of(runtime, name) != here:
                app.tag_image(runtime, source, name)
            runtime.image_verbs.push(name)
            there = pushed_digest(runtime, name)
    return {"changed": changed, "digest": there}
