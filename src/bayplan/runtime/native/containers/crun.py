"""What crun alone knows. Small: the resident supervisor loads it."""

from __future__ import annotations

from pathlib import Path

from bayplan.errors import UnsupportedError

ANNOTATION = "run.oci.seccomp_bpf_data"
"""Annotation with a compiled filter of system calls (crun(1), "run.oci.seccomp_bpf_data")."""


def is_crun(program: str) -> bool:
    """Whether an OCI runtime, a name or a path, is the one that knows the annotation."""
    return program.rpartition("/")[2] == "crun"


def refuse_unfiltered(config: str, program: str, name: str) -> None:
    """Raise UnsupportedError for a bundle whose filter a runtime that is not crun would not see."""
    if ANNOTATION in config:
        raise UnsupportedError(
            f"it was made for crun: {Path(program).name} would run it without its system call filter",
            where=f"container {name}",
            hint="remove it and apply again",
        )
