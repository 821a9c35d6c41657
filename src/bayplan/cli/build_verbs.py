"""``bayplan build`` and ``bayplan builder prune``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bayplan import app
from bayplan.cli import project_builds
from bayplan.cli.common import opened
from bayplan.cli.converging import carry_out
from bayplan.cli.image_verbs import size
from bayplan.errors import DeclarationError, NotBuiltYetError
from bayplan.models import Build, BuildSecret, Entitlement, Image, Stack
from bayplan.models.git_url import parse


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The verbs and their options."""
    text = "Build an image from a directory, with -t; without it those that the project's services are built from."
    made = sub.add_parser("build", help="build an image, or those of the project", description=text)
    made.add_argument(
        "context",
        nargs="*",
        help="with -t the directory with the files the build may use, or a Git URL#REF:DIRECTORY; else services",
    )
    made.add_argument(
        *("-t", "--tag"), action="append", default=[], metavar="NAME", help="the image's name; several are its names"
    )
    made.add_argument("-f", "--file", dest="dockerfile", metavar="FILE", help="the Dockerfile; - is standard input")
    made.add_argument("--target", metavar="STAGE", help="build stage to stop at")
    made.add_argument("--build-arg", action="append", default=[], metavar="NAME[=VALUE]", help="value of an ARG")
    made.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="label of the image")
    made.add_argument(
        "--secret", action="append", default=[], metavar="id=ID[,src=FILE|,env=VARIABLE]", help="a secret"
    )
    made.add_argument(
        "--ssh", action="append", default=[], metavar="ID[=SOCKET]", help="an ssh agent; default is yours"
    )
    made.add_argument(
        *("--platform",),
        action="append",
        default=[],
        metavar="OS/ARCHITECTURE[,...]",
        help="platform of the image, or several under one name; the host's when not given",
    )
    made.add_argument(
        "--allow", action="append", default=[], metavar="WHAT", help="security.insecure or network.host, for RUN"
    )
    made.add_argument("--network", default="default", metavar="MODE", help="default, none or host, for RUN")
    made.add_argument("--add-host", action="append", default=[], metavar="NAME=ADDRESS", help="a name that RUN knows")
    made.add_argument("--shm-size", metavar="SIZE", help="size of /dev/shm for RUN")
    made.add_argument("--ulimit", action="append", default=[], metavar="NAME=SOFT[:HARD]", help="a limit for RUN")
    made.add_argument("--no-cache", action="store_true", help="do every step anew")
    made.add_argument("--pull", action="store_true", help="ask the registry for newer base images")
    made.add_argument("--json", action="store_true", help="print JSON instead of text")
    made.set_defaults(run=build)
    own = sub.add_parser("builder", help="look after what builds keep", description="What builds keep.")
    prune = own.add_subparsers(dest="builder_verb", required=True, metavar="VERB").add_parser(
        "prune", help="free the caches of RUN --mount=type=cache"
    )
    prune.add_argument("-a", "--all", action="store_true", help="the results of steps too: the next builds do all anew")
    prune.add_argument("--dry-run", action="store_true", help="only list what would be freed")
    prune.add_argument("--json", action="store_true", help="print JSON instead of text")
    prune.set_defaults(run=prune_builds)


def build(options: Namespace) -> int:
    """Plan, show, build."""
    if not options.tag:
        return project_builds.build(options)
    if len(options.context) != 1:
        raise DeclarationError("build -t takes one context", hint="such as `bayplan build -t NAME .`")
    (options.context,) = options.context
    platforms = [item for text in options.platform for item in text.split(",")]
    given = _options(options)
    declared = Build(
        **given,
        context=_context(options.context),
        **_dockerfile(options),
        target=options.target,
        args=_pairs(options.build_arg, os.environ),
        labels=_pairs(options.label, {}),
        secrets=tuple(_secret(text) for text in options.secret),
        ssh=dict(_agent(text) for text in options.ssh),
        entitlements=tuple(_entitlement(text) for text in options.allow),
        platforms=tuple(platforms) if len(platforms) > 1 else (),
        no_cache=options.no_cache,
        pull=options.pull,
    )
    image = Image(name=options.tag[0], platform=platforms[0] if len(platforms) == 1 else None, build=declared)
    wanted = Stack(name="", images=(image,))
    with opened(options) as (runtime, settings):
        return carry_out(options, lambda: app.plan_single(wanted, runtime), runtime, settings)


def prune_builds(options: Namespace) -> int:
    """The list that is deleted, or with --dry-run would be."""
    with opened(options) as (runtime, _):
        found = app.prune_builds(runtime, results=options.all, dry_run=options.dry_run)
    if options.json:
        print(json.dumps([item.model_dump() for item in found]))
        return 0
    for item in found:
        print(f"{item.kind:<6}  {item.name}" + (f"  {size(item.size_bytes)}" if item.size_bytes else ""))
    total = size(sum(item.size_bytes for item in found))
    print(f"{'Would free' if options.dry_run else 'Freed'} {total} in {len(found)} things.")
    return 0


def _context(text: str) -> str:
    try:
        if parse(text):
            return text
    except ValueError as error:
        raise DeclarationError(str(error), where="build context") from error
    if "://" in text or text == "-":
        hint = "unpack it, and name the directory"
        raise NotBuiltYetError("a build context that is no directory is not built yet", where=text, hint=hint)
    return str(Path(text).absolute())


def _entitlement(text: str) -> Entitlement:
    try:
        return Entitlement(text)
    except ValueError:
        raise DeclarationError(f"unknown --allow {text}", hint=", ".join(Entitlement)) from None


def _dockerfile(options: Namespace) -> dict[str, str]:
    if options.dockerfile == "-":
        return {"dockerfile_inline": sys.stdin.read()}
    if not options.dockerfile:
        return {}
    is_remote = parse(options.context) is not None  # then the file is one of the repository
    return {"dockerfile": options.dockerfile if is_remote else str(Path(options.dockerfile).absolute())}


def _options(options: Namespace) -> dict[str, Any]:
    """Those of commands. Raises DeclarationError."""
    limits = {}
    for text in options.ulimit:
        name, _, value = text.partition("=")
        soft, _, hard = value.partition(":")
        limits[name] = {"soft": soft, "hard": hard or soft}
    hosts: dict[str, str] = {}
    for text in options.add_host:
        name, sign, address = text.partition("=" if "=" in text else ":")
        if not (sign and name and address):
            raise DeclarationError(f"--add-host {text} is not NAME=ADDRESS")
        hosts[name] = ",".join(filter(None, (hosts.get(name), address.strip("[]"))))
    try:
        found = Build.model_validate(
            {
                "context": ".",
                "tags": options.tag[1:],
                "network": options.network,
                "extra_hosts": hosts,
                "shm_size": options.shm_size,
                "ulimits": limits,
            }
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise DeclarationError(f"build {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return {name: getattr(found, name) for name in ("tags", "network", "extra_hosts", "shm_size", "ulimits")}


def _pairs(given: list[str], standard: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, sign, value = text.partition("=")
        if sign or name in standard:
            found[name] = value if sign else standard[name]
    return found


def _secret(text: str) -> BuildSecret:
    """``id=ID,src=FILE`` or ``id=ID,env=VARIABLE``; without a source the variable of that name. Never in argv."""
    given = dict(part.partition("=")[::2] for part in text.split(","))
    name, file = given.pop("id", ""), given.pop("src", given.pop("source", ""))
    variable, kind = given.pop("env", ""), given.pop("type", "")
    where = f"--secret {text}"
    if not name or given or kind not in ("", "file", "env"):
        raise DeclarationError("a secret is id=ID with src=FILE or env=VARIABLE", where=where)
    if not file and (variable or name) not in os.environ:
        raise DeclarationError(f"variable {variable or name} is not set", where=where, hint="or name a file: src=")
    try:
        content = Path(file).read_bytes() if file else os.environ[variable or name].encode()
    except OSError as error:
        raise DeclarationError(f"cannot read the secret: {error.strerror}", where=where) from error
    return BuildSecret.model_validate({"id": name, "content": content})


def _agent(text: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    path = path or os.environ.get("SSH_AUTH_SOCK", "")
    if not path:
        raise DeclarationError("there is no ssh agent: SSH_AUTH_SOCK is not set", where=f"--ssh {text}")
    return name, str(Path(path).absolute())
