"""The options of ``bayplan image VERB``."""

from __future__ import annotations

import argparse

from bayplan.cli import image_archives as archives
from bayplan.cli import image_verbs as verbs
from bayplan.cli.common import quiet_option


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command with its verbs."""
    image = sub.add_parser("image", help="look at, name, move and remove images", description="Images of this host.")
    own = image.add_subparsers(dest="image_verb", required=True, metavar="VERB")
    listed = _verb(own, "ls", verbs.ls, "list the images of this host")
    listed.add_argument("--format", metavar="TEMPLATE", help="such as '{{.Repository}}:{{.Tag}}', json, or table")
    quiet_option(listed)
    inspect = _verb(own, "inspect", verbs.inspect, "show all of an image, as JSON in Docker's fields")
    inspect.add_argument("--format", metavar="TEMPLATE", help="such as '{{.Architecture}}'")
    inspect.add_argument("image", nargs="+", help="names, digests or ids")
    history = _verb(own, "history", verbs.history, "show how an image was made, newest step first")
    history.add_argument("image", help="name, digest or id")
    tag = _verb(own, "tag", verbs.tag, "give an image another name")
    tag.add_argument("image", help="name, digest or id")
    tag.add_argument("name", help="the new name")
    remove = _verb(own, "rm", verbs.remove, "remove names of images, and what only they used")
    remove.add_argument("image", nargs="+", help="names; a digest or id of an image with one name")
    push = _verb(own, "push", verbs.push, "bring images to their registries")
    push.add_argument("image", nargs="+", help="names")
    push.add_argument("--index", nargs="+", metavar="IMAGE", help="make the name an index of these, one a platform")
    prune = _verb(own, "prune", verbs.prune, "free what no name, container or build needs")
    prune.add_argument("--all", action="store_true", help="also images that no container was made from")
    prune.add_argument("--dry-run", action="store_true", help="only list what would be freed")
    copy = _verb(own, "copy", verbs.copy, "give an image to another host, over ssh")
    copy.add_argument("image", help="its name")
    copy.add_argument("target", help="ssh://[user@]host[:port]")
    copy.add_argument("--bridge", default="bayplan bridge", metavar="COMMAND", help="what runs the bridge there")
    _archives(own)


def _archives(own: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    save = _verb(own, "save", archives.save, "write images to a file or directory")
    save.add_argument("-o", "--output", default="-", metavar="PATH", help="where to; - is standard output")
    save.add_argument("--format", default="oci-archive", help="oci-archive, oci-dir or docker-archive")
    save.add_argument("image", nargs="+", help="names, digests or ids")
    load = _verb(own, "load", archives.load, "take the images of an OCI layout or docker-archive")
    load.add_argument("-i", "--input", default="-", metavar="PATH", help="file or directory; - is standard input")
    load.add_argument("--name", help="the name of the only image, instead of the archive's")
    made = _verb(own, "import", archives.import_tree, "make an image from a tar of a plain file system")
    made.add_argument("archive", metavar="file", help="a tar file; - is standard input")
    made.add_argument("name", help="the image's name")
    made.add_argument("-m", "--message", default="", help="comment for the image's history")
    export = _verb(own, "export", archives.export, "write a container's file system as a plain tar")
    export.add_argument("container", help="its name")
    export.add_argument("-o", "--output", default="-", metavar="PATH", help="where to; - is standard output")
    commit = _verb(own, "commit", archives.commit, "make an image of a container")
    commit.add_argument("container", help="its name")
    commit.add_argument("name", help="the image's name")
    commit.add_argument("-m", "--message", default="", help="comment for the image's history")
    diff = _verb(own, "diff", archives.diff, "show what a container added (A), changed (C) and deleted (D)")
    diff.add_argument("container", help="its name")


def _verb(
    sub: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: object, text: str
) -> argparse.ArgumentParser:
    parser = sub.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(run=run)
    return parser
