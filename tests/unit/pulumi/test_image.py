"""An image that is deleted: what keeps it is known by the type of the error, not by its words."""

import pytest

from bayplan.bridge.answers import failure
from bayplan.errors import ConflictError, InUseError
from bayplan.pulumi.failures import RefusedError
from bayplan.pulumi.resources import resource_of
from bayplan.pulumi.resources.base import Task

INPUTS = {"name": "lab/web:1"}


class Session:
    """One of which every change is refused."""

    is_remote = False

    def __init__(self, error):
        self.error = error

    def carry_out(self, item, timeout_s):
        assert item == {"kind": "image", "name": "lab/web:1", "state": "absent"}
        return {"error": failure(self.error)}


def delete(error):
    resource_of("bayplan:index:Image").delete(Task(Session(error), INPUTS, INPUTS, INPUTS, "lab/web:1"))


def test_an_image_in_use_stays_and_is_no_error():
    delete(InUseError("three others run from it"))


def test_another_conflict_is_told():
    with pytest.raises(RefusedError, match="is used by containers of another kind") as refused:
        delete(ConflictError("image lab/web:1 is used by containers of another kind"))
    assert refused.value.type == "ConflictError"
