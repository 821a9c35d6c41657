"""Changed fields in a plan's lines: real models compared, only what differs shown."""

import pytest

from bayplan.models import (
    BindMount,
    Change,
    Container,
    Endpoint,
    Network,
    Port,
    Resources,
    VolumeMount,
)
from bayplan.reconcile import readable, render
from bayplan.reconcile.diff import compare
from bayplan.reconcile.plan import Action, FieldChange, Plan, Step
from bayplan.runtime.protocol import Facts, Observed, Scope, State, Status

IN_PLACE = frozenset({"networks", "ports", "resources"})


def lines(before, after):
    """What a plan says of a container that was applied as ``before`` and is declared as ``after``."""
    old, new = (Container(name="c", image="x", **fields) for fields in (before, after))
    seen = Observed(actual=old, declared=old, status=Status(state=State.RUNNING))
    facts = Facts(engine="native", version="0", host="h", in_place=IN_PLACE)
    rows = [row for item in compare(new, seen, facts) for row in readable.rows(item)]
    return [f"{path}: {old} -> {new}" for path, old, new in rows]


FRONT, BACK = Endpoint(network="front"), Endpoint(network="back", aliases=("db", "sql"))


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ({"networks": [FRONT]}, {"networks": [FRONT, BACK]}, ["networks[back]: (unset) -> {aliases: [db, sql]}"]),
        ({"networks": [FRONT, BACK]}, {"networks": [BACK]}, ["networks[front]: {} -> (unset)"]),
        (
            {"networks": [FRONT, BACK]},
            {"networks": [FRONT, BACK.model_copy(update={"aliases": ("db", "data"), "gw_priority": 3})]},
            ["networks[back].aliases: [sql] -> [data]", "networks[back].gw_priority: 0 -> 3"],
        ),
        ({"networks": [FRONT, BACK]}, {"networks": [BACK, FRONT]}, ["networks: [front, back] -> [back, front]"]),
        (
            {"mounts": [VolumeMount(source="data", target="/data")]},
            {
                "mounts": [
                    VolumeMount(source="data", target="/data", read_only=True),
                    BindMount(source="/s", target="/t"),
                ]
            },
            ["volumes[/data].read_only: false -> true", "volumes[/t]: (unset) -> '/s:/t'"],
        ),
        (
            {"ports": [Port(target=80, published=8080), Port(target=81, published=8081)]},
            {"ports": [Port(target=80, published=8080), Port(target=82, published=8082)]},
            ["ports: [*:8081->81/tcp] -> [*:8082->82/tcp]"],
        ),
        (
            {"resources": Resources(memory="64m", cpus=1)},
            {"resources": Resources(memory="128m", cpus=2, pids=9)},
            ["cpus: 1.0 -> 2.0", "mem_limit: '64MiB' -> '128MiB'", "pids_limit: (unset) -> 9"],
        ),
        ({"cap_add": ["NET_RAW"]}, {}, ["cap_add: [NET_RAW] -> (unset)"]),
        ({"command": ["a", "b"]}, {"command": ["b", "a"]}, ["command: [a, b] -> [b, a]"]),
        ({"user": "1"}, {"user": "2"}, ["user: '1' -> '2'"]),
        ({"environment": {"A": "1"}}, {"environment": {"A": "2"}}, ["environment[A]: '1' -> '2'"]),
    ],
)
def test_only_what_differs_is_shown(before, after, wanted):
    assert sorted(lines(before, after)) == sorted(wanted)


def test_ranges_of_a_network():
    def network(*subnets):
        first, *more = subnets
        return Network(name="n", subnet=first, further_ranges=[{"subnet": one} for one in more])

    old, new = network("10.1.0.0/24", "10.2.0.0/24"), network("10.1.0.0/24", "10.3.0.0/24")
    seen = Observed(actual=old, declared=old, status=Status(state=State.READY))
    (change,) = compare(new, seen, Facts(engine="native", version="0", host="h"))
    assert readable.rows(change) == [
        ("further_ranges[10.2.0.0/24]", "{}", "(unset)"),
        ("further_ranges[10.3.0.0/24]", "(unset)", "{}"),
    ]
    assert change.before == [{"subnet": "10.2.0.0/24", "gateway": None, "ip_range": None}]  # whole, for programs


def test_the_text_and_the_diff_of_ansible_show_the_same_and_json_the_whole():
    old, new = Container(name="c", image="x", networks=[FRONT]), Container(name="c", image="x", networks=[FRONT, BACK])
    seen = Observed(actual=old, declared=old, status=Status(state=State.RUNNING))
    fields = compare(new, seen, Facts(engine="native", version="0", host="h", in_place=IN_PLACE))
    step = Step(resource=new.id, action=Action.UPDATE, why="the declaration changed", fields=fields, desired=new)
    plan = Plan(project="p", engine="native", host="h", scope=Scope(project="p"), basis="", steps=(step,))
    assert "networks[back]: (unset) -> {aliases: [db, sql]}  [in-place]" in render.as_text(plan)
    before, after = render.before_after(plan)
    assert ("  networks[back]: (unset)\n" in before, "  networks[back]: {aliases: [db, sql]}\n" in after) == (
        True,
        True,
    )
    (shown,) = render.as_json(plan)["steps"][0]["fields"]
    assert [item["network"] for item in shown["after"]] == ["front", "back"]


def test_digests_are_as_long_as_people_compare_them():
    before, built = f"sha256:{'a' * 64}", f"fingerprint:{'b' * 64}"
    for after, shown in ((f"sha256:{'c' * 64}", f"sha256:{'c' * 12}"), (built, "(what the build gives)")):
        change = FieldChange(path="image.digest", before=before, after=after, why="", how=Change.RECREATE)
        assert readable.rows(change) == [("image.digest", f"sha256:{'a' * 12}", shown)]
