"""What a plan tells of a host that is in the way of its networks."""

from __future__ import annotations

from bayplan.models import Network, Stack
from bayplan.reconcile import render
from bayplan.reconcile.planner import make_plan
from bayplan.runtime.fake import FakeRuntime
from bayplan.runtime.protocol import Facts

NOTE = "what bridge bp... forwards is dropped by FORWARD of table ip filter: iptables -I ..."


class Dropping(FakeRuntime):
    """A host whose firewall drops what is forwarded."""

    def facts(self) -> Facts:
        return super().facts().model_copy(update={"network_notes": lambda: (NOTE,)})


def stack(**options: bool) -> Stack:
    return Stack(name="demo", networks=(Network(name="net", labels={}, **options),))  # type: ignore[arg-type]


def test_a_network_that_will_be_made_is_warned_of() -> None:
    made = make_plan(stack(), Dropping())
    assert made.warnings == (f"network net: {NOTE}",)
    assert f"Warning: network net: {NOTE}." in render.as_text(made)
    assert render.as_json(made)["warnings"] == [f"network net: {NOTE}"]


def test_one_without_a_way_out_is_not() -> None:
    assert make_plan(stack(internal=True), Dropping()).warnings == ()
    assert make_plan(stack(), FakeRuntime()).warnings == ()


def test_one_that_is_there_has_its_own_note() -> None:
    runtime = Dropping()
    runtime.create(stack().networks[0], project="demo")
    key, held = next(iter(runtime.resources.items()))
    assert make_plan(stack(), runtime).warnings == ()
    runtime.resources[key] = held.model_copy(update={"notes": ("its parent is down",)})
    made = make_plan(stack(), runtime)
    assert made.warnings == ("network net: its parent is down",)
    assert not made.changed
