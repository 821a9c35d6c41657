"""``bayplan bundle``: an environment in one file, made here and applied where no registry is reached."""

from __future__ import annotations

import argparse
import os
import tarfile
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayplan.cli.common import opened, show, stack
from bayplan.errors import DeclarationError, NotFoundError

if TYPE_CHECKING:
    from bayplan.models import Settings
    from bayplan.resolve.bundle.opening import Given
    from bayplan.runtime.protocol import Runtime


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command with its verbs."""
    bundle = sub.add_parser("bundle", help="declaration, lock and images in one file", description="Bundles.")
    own = bundle.add_subparsers(dest="bundle_verb", required=True, metavar="VERB")
    made = _verb(own, "make", make, "write the bundle of the declaration, all of which must be in bayplan.lock")
    made.add_argument("bundle", type=Path, metavar="FILE", help="where to")
    made.set_defaults(locked=True)
    _verb(own, "show", look, "check a bundle, and say what is in it").add_argument("bundle", type=Path, metavar="FILE")
    applied = _verb(own, "apply", apply, "make this host match a bundle; no registry is asked for anything")
    applied.add_argument("bundle", type=Path, metavar="FILE", help="the bundle")
    applied.add_argument("--lock-timeout", metavar="DURATION", help="wait at most this long for another change to end")
    applied.add_argument("--directory", type=Path, metavar="DIR", help="where its files are put; in the state root")
    applied.add_argument(
        "--secret", action="append", default=[], metavar="NAME=FILE", help="what a secret of the declaration holds"
    )


def _verb(
    own: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: object, text: str
) -> argparse.ArgumentParser:
    parser = own.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(run=run)
    return parser


def make(options: Namespace) -> int:
    """Pull and build what is missing, then write it."""
    from bayplan.app import bundles
    from bayplan.cli.progress import Ticker

    with opened(options) as (runtime, settings):
        declared = stack(options)
        _bring(options, runtime, settings)
        with Ticker(quiet=options.json) as ticker:
            bundles.complete(declared, runtime, ticker.report)
            made = bundles.make(declared, runtime, options.bundle, ticker.report)
    size = options.bundle.stat().st_size
    data = {"file": str(options.bundle), "fingerprint": made.fingerprint, "size_bytes": size}
    many = "1 image" if len(made.images) == 1 else f"{len(made.images)} images"
    show(options, data, f"{options.bundle}: {many}, {size} bytes, fingerprint {made.fingerprint}")
    return 0


def _bring(options: Namespace, runtime: Runtime, settings: Settings) -> None:
    from bayplan import app
    from bayplan.app import bundles
    from bayplan.models import Stack

    wanted = bundles.missing(stack(options), runtime)
    if wanted:
        _, done = app.converge(lambda: app.plan_single(Stack(name="", images=wanted), runtime), runtime, settings)
        done.raise_failure()


def look(options: Namespace) -> int:
    """Print what a bundle has."""
    from bayplan.app import bundles

    with bundles.opened(options.bundle) as made:
        found = made.bundle
        secrets = sorted({grant.source for item in found.stack.containers for grant in item.secrets})
        variables = sorted({name for names in found.withheld.values() for name in names})
        data: dict[str, Any] = {
            "project": found.stack.name,
            "fingerprint": found.fingerprint,
            "platform": found.platform,
            "made_by": found.made_by,
            "images": {name: pin.digest for name, pin in sorted(found.images.items())},
            "files": [member.name for member in made.files()],
            "asks_for": {"environment": variables, "secrets": secrets},
        }
    lines = [f"project {data['project']}, {data['platform']}, fingerprint {data['fingerprint']}"]
    lines += [f"image {name}: {digest}" for name, digest in data["images"].items()]
    lines += [f"file {name}" for name in data["files"]]
    lines += [f"asks for variable {name}" for name in variables] + [f"asks for secret {name}" for name in secrets]
    show(options, data, "\n".join(lines))
    return 0


def apply(options: Namespace) -> int:
    """Check, bring, plan, show, do."""
    return apply_file(options, options.bundle)


def apply_file(options: Namespace, path: Path) -> int:
    """Apply a bundle; the plan is shown first, as always."""
    from bayplan.app import bundles
    from bayplan.cli.converging import carry_out
    from bayplan.cli.progress import Ticker

    if getattr(options, "locked", False) or getattr(options, "no_lock", False):
        raise DeclarationError("a bundle has its own lock", hint="leave out --locked and --no-lock")
    with bundles.opened(path) as made:
        options.project_name = options.project_name or made.bundle.stack.name
        if options.project_name != made.bundle.stack.name:
            raise DeclarationError(
                f"the bundle is of project {made.bundle.stack.name}", where=str(path), hint="leave out -p"
            )
        with opened(options) as (runtime, settings):
            directory = getattr(options, "directory", None) or settings.state_root / "bundles" / options.project_name
            found = bundles.for_host(made, directory.absolute(), _given(options), runtime)
            with Ticker(quiet=options.json) as ticker:
                planned = found.place(runtime, ticker.report)
            return carry_out(options, planned, runtime, settings, recovers=True)


def is_bundle(path: Path) -> bool:
    """Whether a file that is to be applied is a tar, and no plan."""
    return path.is_file() and tarfile.is_tarfile(path)


def _given(options: Namespace) -> Given:
    """Values of variables and secrets that no bundle has. Raises NotFoundError for a file that is not there."""
    from bayplan.load.compose import dotenv
    from bayplan.resolve.bundle.opening import Given

    environment: dict[str, str] = {}
    for path in options.env_file:
        environment |= dotenv.read(path, {**environment, **os.environ})
    secrets = {}
    for text in getattr(options, "secret", ()):
        name, sign, file = text.partition("=")
        if not sign or not name:
            raise DeclarationError(f"--secret {text!r} is not NAME=FILE")
        try:
            secrets[name] = Path(file).read_bytes()
        except OSError as error:
            raise NotFoundError(f"--secret {name}: {error.strerror}", where=file) from error
    return Given({**environment, **os.environ}, secrets)
