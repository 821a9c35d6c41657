"""What the plugin answers with: verdicts and failures as messages, and errors as statuses.

An error that gRPC calls UNKNOWN or INTERNAL would have Pulumi take its state for damaged: there is none. What was half
made is told with what there is of it, so that nothing is orphaned.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import grpc
from pulumi.runtime.proto import provider_pb2, status_pb2

from bayplan.errors import BayplanError, DeclarationError, UnavailableError, unforeseen
from bayplan.pulumi import peers
from bayplan.pulumi.failures import PartlyMadeError, Wrong, told
from bayplan.pulumi.values import any_of, encode

T = TypeVar("T")
_KINDS = {("add", False): 0, ("add", True): 1, ("delete", False): 2, ("delete", True): 3}
_KINDS |= {("update", False): 4, ("update", True): 5}
"""``PropertyDiff.Kind`` by way and whether it replaces."""


def answered(method: Callable[[Any, Any, grpc.ServicerContext], T]) -> Callable[..., T]:
    """Errors as statuses that Pulumi shows, and that say nothing of values."""

    @functools.wraps(method)
    def caught(self: Any, request: Any, context: grpc.ServicerContext) -> T:
        try:
            peers.check(context.peer(), self.port)
            return method(self, request, context)
        except PartlyMadeError as error:
            _tell_partly(context, error)
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, error.reason)
        except BayplanError as error:
            context.abort(_code(error), told(error))
        except Exception as error:  # noqa: BLE001 - see above
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, _unforeseen(method.__name__, error))
        raise AssertionError("abort raises")

    return caught


def checked(inputs: Mapping[str, Any], wrong: list[Wrong]) -> Any:
    """The answer to a check."""
    return provider_pb2.CheckResponse(inputs=encode(inputs), failures=failures(wrong))


def failures(wrong: list[Wrong]) -> list[Any]:
    """What is wrong, by the paths of properties."""
    return [provider_pb2.CheckFailure(property=one.property, reason=one.reason) for one in wrong]


def differing(found: Any) -> Any:
    """The answer to a diff."""
    kinds = provider_pb2.DiffResponse
    detailed = {
        path: provider_pb2.PropertyDiff(kind=_KINDS[one.way.value, one.replaces], inputDiff=one.of_input)  # type: ignore[arg-type]
        for path, one in found.differences.items()
    }
    return provider_pb2.DiffResponse(
        changes=kinds.DIFF_SOME if found.changed else kinds.DIFF_NONE,
        diffs=found.top_level,
        replaces=found.replaces,
        deleteBeforeReplace=found.delete_first,
        detailedDiff=detailed,
        hasDetailedDiff=True,
    )


def _code(error: BayplanError) -> grpc.StatusCode:
    if isinstance(error, UnavailableError):
        return grpc.StatusCode.UNAVAILABLE
    if isinstance(error, DeclarationError):
        return grpc.StatusCode.INVALID_ARGUMENT
    return grpc.StatusCode.FAILED_PRECONDITION


def _tell_partly(context: grpc.ServicerContext, error: PartlyMadeError) -> None:
    """What there is of it, packed where Pulumi looks (``grpc-status-details-bin``)."""
    detail = provider_pb2.ErrorResourceInitFailed(
        id=error.id, properties=encode(error.outputs), inputs=encode(error.inputs), reasons=[error.reason]
    )
    code = grpc.StatusCode.FAILED_PRECONDITION.value[0]
    status = status_pb2.Status(code=code, message=error.reason, details=[any_of(detail)])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))


def _unforeseen(method: str, error: Exception) -> str:
    sentence = f"{method}: {unforeseen(error)}"
    print(sentence, file=sys.stderr)
    return sentence
