"""Builds by the engine's own builder, and when one is needed.

What an image was built from is kept as a label of the image itself (``FINGERPRINT``), so that it is known wherever
the plan is made: a digest of the recipe (Dockerfile, arguments, files), and the ids of the base images it began with.
"""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import IO, Any

from bayplan.errors import RuntimeFailureError, StalePlanError
from bayplan.models import Build, Image, ImageReference
from bayplan.runtime.dockerfile.expand import expand, split
from bayplan.runtime.dockerfile.instructions import Instruction
from bayplan.runtime.engine_api.bases import digest_of
from bayplan.runtime.engine_api.client import EngineClient, told
from bayplan.runtime.engine_api.images import refusals
from bayplan.runtime.engine_api.images.context import Context
from bayplan.runtime.engine_api.images.remote import credentials
from bayplan.runtime.engine_api.images.transfer import checked, lines, progress
from bayplan.runtime.protocol import ImageOrigin, Progress, Report, ResolvedImage

FINGERPRINT = "io.bayplan.build"
_FORMAT = 1
_OUTPUT_LINES = 30

Local = Callable[[ImageReference, str | None], Mapping[str, Any] | None]
"""What the engine has under a name, for a platform (ImageInspect)."""
Pull = Callable[[Image, Report, str], None]
"""Brings an image: what its name means, or a digest."""


class Builds:
    """Builds of one engine. ``local`` and ``pull`` are those of its images."""

    def __init__(self, client: EngineClient, local: Local, pull: Pull, newest: Callable[[Image], str]) -> None:
        self._client, self._local, self._pull, self._newest = client, local, pull, newest

    def resolve(self, image: Image, declared: Build) -> ResolvedImage:
        """Present when the image of that name was built from just this. Reads only.

        Raises NotFoundError for a context or Dockerfile that is not there, UnsupportedError for what the engine's
        builder cannot do.
        """
        context, instructions = self._read(declared)
        recipe = _recipe(image, declared, context)
        held = self._local(image.reference, image.platform)
        known = _known(held)
        why = self._why(declared, recipe, known) if held else "not built yet"
        bases = tuple(str(ImageReference.parse(name)) for name in _sources(instructions, declared))
        if held and not why:
            volumes = tuple(sorted((held.get("Config") or {}).get("Volumes") or ()))
            digest = digest_of(held, image.name)
            found = {"digest": digest, "present": True, "volumes": volumes}
        else:
            found = {"digest": f"fingerprint:{recipe}", "present": False, "why": why}
        return ResolvedImage(name=image.name, origin=ImageOrigin.BUILD, bases=bases, **found)

    def create(self, image: Image, declared: Build, digest: str, report: Report) -> None:
        """Build it and give it its name. Raises StalePlanError when what it is built from is no longer as planned."""
        context, instructions = self._read(declared)
        recipe = _recipe(image, declared, context)
        if digest.startswith("fingerprint:") and digest != f"fingerprint:{recipe}":
            raise StalePlanError(f"what image {image.name} is built from changed", hint="make a new plan")
        bases: dict[str, str] = {}
        for name in _sources(instructions, declared):
            base = Image(name=name, platform=image.platform)
            pin = declared.bases.get(str(base.reference))
            if pin is not None:
                self._pull(base, report, pin.digest)
            elif declared.pull or self._local(base.reference, base.platform) is None:
                self._pull(base, report, "")
            held = self._local(base.reference, base.platform)
            bases[name] = str(held["Id"]) if held else ""
        with tempfile.TemporaryFile() as tar:
            context.write(tar, _secret_files(declared))
            tar.seek(0)
            self._build(image, context.dockerfile, {"recipe": recipe, "bases": bases}, tar, report)

    def _build(self, image: Image, dockerfile: str, made_of: Mapping[str, Any], tar: IO[bytes], report: Report) -> None:
        """One request; the engine keeps what it made of steps, and gives the name when all is done."""
        declared, label = image.build, json.dumps(made_of, sort_keys=True)
        assert declared is not None  # ``create`` was given it
        query: dict[str, Any] = {
            "t": str(image.reference),
            "dockerfile": dockerfile,
            "buildargs": json.dumps(declared.args),
            "labels": json.dumps({**declared.labels, FINGERPRINT: label}),
            "rm": "true",
            "forcerm": "true",
            "nocache": str(declared.no_cache).lower(),
        }
        if declared.target:
            query["target"] = declared.target
        if platform := image.platform or next(iter(declared.platforms), None):
            query["platform"] = platform
        query |= _of_commands(declared)
        if declared.secrets:
            names = (f"id={item.id},src={_SECRET.format(number)}" for number, item in enumerate(declared.secrets))
            query["secrets"] = json.dumps(list(names))
        headers = {"Content-Type": "application/x-tar", **_credentials(made_of["bases"])}
        said: list[str] = []
        what = f"image {image.name}"
        with told(what):
            answer = self._client.streamed("POST", "/build", query=query, headers=headers, data=tar)
            try:
                for event in checked(lines(answer), what):
                    progress(event, "pull", report)
                    for text in str(event.get("stream") or "").splitlines():
                        if text.strip():
                            said = [*said[-_OUTPUT_LINES:], text]
                            report(Progress(what, message=text))
            except RuntimeFailureError as error:
                error.output = error.output or "\n".join(said)
                raise

    def _read(self, declared: Build) -> tuple[Context, tuple[Instruction, ...]]:
        context = Context.read(declared)
        kind, version = self._client.kind, self._client.engine_version
        return context, refusals.check(declared, context.text, context.file, kind=kind, version=version)

    def _why(self, declared: Build, recipe: str, known: Mapping[str, Any]) -> str:
        """Why what is here is not what would be built; empty when it is."""
        if known.get("recipe") != recipe:
            return "its Dockerfile, arguments or files changed" if known else "was not built by Bayplan"
        for name, began in (known.get("bases") or {}).items():
            base = Image(name=name)
            if pin := declared.bases.get(str(base.reference)):
                locked = self._local(base.reference.with_digest(pin.digest), None)
                if began and (locked is None or locked["Id"] != began):
                    return f"its base image {name} is not the locked one"
                continue
            held = self._local(base.reference, None)
            if held and began and held["Id"] != began:
                return f"its base image {name} is another"
            if declared.pull and held and self._newest(base) not in _digests(held):
                return f"the registry has another image under the name of its base {name}"
        return ""


def _recipe(image: Image, declared: Build, context: Context) -> str:
    material = [
        _FORMAT,
        context.dockerfile,
        context.text,
        context.fingerprint(),
        declared.args,
        declared.target,
        declared.labels,
        image.platform,
        [item.id for item in declared.secrets],
        _of_commands(declared),
    ]
    return hashlib.sha256(json.dumps(material, sort_keys=True).encode()).hexdigest()


def _of_commands(declared: Build) -> dict[str, str]:
    """What the engine is asked for the commands of a build; nothing where nothing is declared."""
    found: dict[str, str] = {}
    if declared.network != "default":
        found["networkmode"] = declared.network
    if declared.extra_hosts:
        lines = (f"{name}:{one}" for name, value in declared.extra_hosts.items() for one in value.split(","))
        found["extrahosts"] = ",".join(lines)
    if declared.shm_size is not None:
        found["shmsize"] = str(int(declared.shm_size))
    if declared.ulimits:
        limits = [{"Name": name, "Soft": one.soft, "Hard": one.hard} for name, one in declared.ulimits.items()]
        found["ulimits"] = json.dumps(limits)
    return found


def _credentials(bases: Iterable[str]) -> dict[str, str]:
    """Those for the registries of the base images (``X-Registry-Config``): the engine may ask them again."""
    found = {}
    for name in bases:
        given = credentials(ImageReference.parse(name))
        if given:
            found[given["serveraddress"]] = given
    text = json.dumps(found).encode()
    return {"X-Registry-Config": base64.urlsafe_b64encode(text).decode()} if found else {}


def _known(held: Mapping[str, Any] | None) -> Mapping[str, Any]:
    labels = ((held or {}).get("Config") or {}).get("Labels") or {}
    try:
        found = json.loads(labels.get(FINGERPRINT) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _digests(held: Mapping[str, Any]) -> set[str]:
    """Every digest by which a registry knows it, and its own id."""
    return {str(item).rpartition("@")[2] for item in held.get("RepoDigests") or ()} | {str(held["Id"])}


def _sources(instructions: tuple[Instruction, ...], declared: Build) -> Iterator[str]:
    """Those that its stages begin with, then further ones that files are copied from."""
    begun = list(_bases(instructions, declared))
    yield from begun
    stages = {item.text.split()[-1].lower() for item in instructions if item.name == "FROM"}
    seen = {name.lower() for name in begun} | stages
    for item in instructions:
        name = item.flag("from") if item.name in ("COPY", "ADD") else None
        if not name or name.isdecimal() or name.lower() in seen:
            continue
        seen.add(name.lower())
        with suppress(ValueError):
            ImageReference.parse(name)
            yield name


def _bases(instructions: tuple[Instruction, ...], declared: Build) -> Iterator[str]:
    """Names of the images that its stages begin with; one that an argument makes up is found by the engine alone."""
    variables: dict[str, str] = {}
    stages: set[str] = set()
    seen: set[str] = set()
    for item in instructions:
        if item.name == "ARG" and not stages and not seen:
            name, sign, default = item.text.partition("=")
            if sign or name in declared.args:
                variables[name] = declared.args.get(name, default.strip("\"'"))
        if item.name != "FROM":
            continue
        try:
            words = [expand(word, variables, item.escape) for word in split(item.text, item.escape)]
        except ValueError:
            continue
        if words and words[0] and words[0] != "scratch" and words[0].lower() not in stages | seen:
            seen.add(words[0].lower())
            try:
                ImageReference.parse(words[0])
            except ValueError:
                continue
            yield words[0]
        if len(words) == 3:
            stages.add(words[2].lower())


_SECRET = "podman-build-secret{}"  # noqa: S105 - the name under which Podman looks for it in the context


def _secret_files(declared: Build) -> dict[str, bytes]:
    contents = (item.content.get_secret_value() if item.content else b"" for item in declared.secrets)
    return {_SECRET.format(number): data for number, data in enumerate(contents)}
