"""A plan for people: grouped, coloured only where that is wanted, nothing in it that steers a terminal."""

import json
import re
from argparse import Namespace

import jsonschema
import pytest

from bayplan.cli.colour import style
from bayplan.models import Change, Container, Kind, Network, ResourceId
from bayplan.reconcile import render
from bayplan.reconcile.plan import Action, FieldChange, Plan, Step
from bayplan.reconcile.style import Style
from bayplan.runtime.protocol import Scope

COLOURED = Style(colours=True)
DRIFT, EDIT = "drift: the host no longer has what was applied", "the declaration changed"


def field(path, before, after, how=Change.IN_PLACE, why=EDIT):
    return FieldChange(path=path, before=before, after=after, how=how, why=why)


def step(name, action, why=EDIT, **more):
    kind = more.pop("kind", Kind.CONTAINER)
    return Step(resource=ResourceId(kind=kind, name=name), action=action, why=why, **more)


def plan(*steps):
    unchanged = (ResourceId(kind=Kind.VOLUME, name="data"),)
    scope = Scope(project="shop")
    return Plan(project="shop", engine="native", host="h", scope=scope, basis="", steps=steps, unchanged=unchanged)


LIMIT = field("resources[memory]", None, "64MiB")
MADE = plan(
    step("shop-web-2", Action.UPDATE, service="web", fields=(LIMIT,)),
    step("shop-api-1", Action.RECREATE, service="api", risks=("downtime: a moment",)),
    step("shop_front", Action.CREATE, "declared, not on the host", kind=Kind.NETWORK),
    step("shop-web-1", Action.UPDATE, service="web", fields=(LIMIT,)),
)
TEXT = """\
Plan for shop on h (native):

networks
  + create    network shop_front: declared, not on the host

service web
  ~ update    container shop-web-2, shop-web-1: the declaration changed
      mem_limit: (unset) -> '64MiB'  [in-place]

service api
  ± re-create container shop-api-1: the declaration changed
      ! downtime: a moment

1 to create, 1 to re-create, 2 to update; 1 unchanged. 1 risk, marked with !."""


def test_steps_stand_under_their_service_or_kind_and_alike_ones_share_lines():
    assert render.as_text(MADE) == TEXT


def test_colours_add_nothing_but_colours():
    shown = render.as_text(MADE, COLOURED)
    assert re.sub(r"\x1b\[[\d;]*m", "", shown) == TEXT
    assert "\x1b[32m+ create   " in shown
    assert "\x1b[35m± re-create" in shown


def test_each_field_says_its_way_and_its_reason_where_they_differ():
    fields = (field("user", "1", "2", Change.RECREATE), field("labels[a]", "x", "y", why=DRIFT))
    shown = render.steps_text(plan(step("web", Action.RECREATE, f"{EDIT}; {DRIFT}", fields=fields)))
    assert f"user: '1' -> '2'  [re-create; {EDIT}]" in shown
    assert f"labels[a]: 'x' -> 'y'  [in-place; {DRIFT}]" in shown


def test_nothing_steers_the_terminal():
    steering = "x\x1b]0;owned\x07"
    made = plan(step("web", Action.UPDATE, steering, fields=(field(f"labels[{steering}]", {"a": steering}, None),)))
    for look in (Style(), COLOURED):
        shown = render.as_text(made, look)
        assert "\x1b]" not in shown
        assert "\\x1b]0;owned\\x07" in shown


@pytest.mark.parametrize(
    ("option", "variable", "terminal", "term", "coloured"),
    [
        (None, "", True, "xterm", True),
        (None, "", False, "xterm", False),
        (None, "1", True, "xterm", False),
        (None, "", True, "dumb", False),
        (True, "1", False, "dumb", True),
        (False, "", True, "xterm", False),
    ],
)
def test_who_says_whether_there_are_colours(monkeypatch, option, variable, terminal, term, coloured):
    monkeypatch.setenv("NO_COLOR", variable)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    assert style(Namespace(color=option)).colours is coloured


def test_the_json_is_as_published_and_no_more():
    made = render.as_json(MADE)
    assert made["changed"] is True
    assert made["counts"] == {"create": 1, "re-create": 1, "update": 2}
    assert json.loads(json.dumps(made)) == made
    with pytest.raises(jsonschema.ValidationError):
        Plan.model_dump(MADE.model_copy(update={"version": "one"}), mode="json", warnings=False)


def test_declarations_stay_out_of_json():
    secret = Container(name="c", image="x", environment={"TOKEN": "hush"})
    made = plan(step("c", Action.CREATE, desired=secret), step("n", Action.CREATE, desired=Network(name="n")))
    assert "hush" not in json.dumps(render.as_json(made))
