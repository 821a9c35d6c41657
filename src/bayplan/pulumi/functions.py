"""The functions of the package: questions that change nothing."""

from __future__ import annotations

from bayplan.errors import UnsupportedError
from bayplan.pulumi.failures import Wrong
from bayplan.pulumi.resources.base import Values
from bayplan.pulumi.session import Session


def call(token: str, args: Values, session: Session) -> tuple[Values, list[Wrong]]:
    """The answer, or what is wrong with the arguments. Raises UnsupportedError for a function that there is not."""
    raise UnsupportedError(f"the package has no function {token}", where="provider bayplan")
