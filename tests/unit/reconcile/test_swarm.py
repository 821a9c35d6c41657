"""What planning knows of a swarm: order, versions, risks, how long a change may take."""

from __future__ import annotations

from bayplan.models import BindMount, Duration, HealthCheck, Kind, ResourceId
from bayplan.models.swarm import (
    OverlayNetwork,
    Service,
    ServiceNetwork,
    ServicePort,
    SwarmNode,
    SwarmStack,
    UpdatePolicy,
)
from bayplan.reconcile import swarm
from bayplan.reconcile.diff import compare
from bayplan.reconcile.graph import requirements, uses
from bayplan.reconcile.plan import Action, Step
from bayplan.reconcile.removal import removals, with_others
from bayplan.runtime.protocol import Facts, ImageOrigin, Observed, ResolvedImage, Snapshot, State, Status

READY = Status(state=State.READY)
FACTS = Facts(engine="swarm", version="20.10.24", host="lab")


def node(name: str, role: str = "worker") -> SwarmNode:
    return SwarmNode.model_validate({"name": name, "role": role})


def test_nodes_are_changed_one_after_the_other_managers_first() -> None:
    stack = SwarmStack(name="", nodes=(node("a"), node("b", "manager"), node("c"), node("d", "manager")))
    order = {item.name: {need.name for need in requirements(item, stack)} for item in stack.nodes}
    assert order == {"b": set(), "d": {"b"}, "a": {"b", "d"}, "c": {"b", "d", "a"}}


def test_nodes_leave_one_by_one_after_all_others_are_what_they_shall_be() -> None:
    there = Snapshot({item.id: Observed(actual=item, status=READY) for item in (node("a"), node("b"), node("c"))})
    leaving = removals({node("a").id: "declared absent", node("b").id: "declared absent"}, there)
    changed = Step(resource=node("c").id, action=Action.UPDATE, why="")
    steps = with_others(leaving, [changed], there)
    needs = {step.resource.name: {need.name for need in step.needs} for step in steps}
    assert needs in ({"c": set(), "a": {"c"}, "b": {"c", "a"}}, {"c": set(), "b": {"c"}, "a": {"c", "b"}})


def test_a_service_comes_after_what_it_uses_and_those_it_depends_on() -> None:
    network = OverlayNetwork(name="x_default")
    first = Service(name="x_db", service="db", image="i")
    second = Service(
        name="x_web",
        service="web",
        image="i",
        networks=(ServiceNetwork(network=network.name),),
        depends_on=("db",),
    )
    stack = SwarmStack(name="x", overlays=(network,), services=(first, second))
    assert requirements(second, stack) == {network.id, first.id, ResourceId(kind=Kind.IMAGE, name="i")}
    assert uses(second) == {network.id}


def completed(image: ResolvedImage, found: Service | None, wanted: Service) -> str | None:
    there = {} if found is None else {found.id: Observed(actual=found, status=READY)}
    stack = swarm.completed(SwarmStack(name="x", services=(wanted,)), {"i": image}, Snapshot(there))
    assert isinstance(stack, SwarmStack)
    return stack.services[0].digest


def test_what_runs_stays_unless_a_registry_or_a_generation_says_otherwise() -> None:
    wanted = Service(name="x_a", image="i")
    runs = wanted.model_copy(update={"digest": "sha256:old"})
    of_others = ResolvedImage(name="i", digest="sha256:other", present=True, origin=ImageOrigin.LOCAL)
    asked = of_others.model_copy(update={"digest": "sha256:new", "origin": ImageOrigin.REGISTRY})
    earlier = of_others.model_copy(update={"digest": "sha256:then", "present": False})
    unknown = of_others.model_copy(update={"digest": ""})
    assert completed(of_others, runs, wanted) == "sha256:old"
    assert completed(asked, runs, wanted) == "sha256:new"
    assert completed(earlier, runs, wanted) == "sha256:then"
    assert completed(unknown, runs, wanted) == "sha256:old"
    assert completed(of_others, None, wanted) == "sha256:other"
    assert completed(unknown, None, wanted) is None
    moved = runs.model_copy(update={"image": "j"})
    assert completed(unknown, moved, wanted) is None


def test_another_order_of_a_service_s_aliases_is_no_change_and_another_network_is() -> None:
    def placed(*networks: ServiceNetwork) -> Service:
        return Service(name="a", image="i", networks=networks)

    there = Observed(actual=placed(ServiceNetwork(network="n", aliases=("x", "y"))), status=READY)
    assert compare(placed(ServiceNetwork(network="n", aliases=("y", "x"))), there, FACTS) == ()
    (change,) = compare(placed(ServiceNetwork(network="m")), there, FACTS)
    assert change.path == "networks"


def test_risks_of_a_service_are_told() -> None:
    service = Service(
        name="a",
        image="i",
        ports=(ServicePort(target=80, published=8080), ServicePort(target=81, mode="host")),
        networks=(ServiceNetwork(network="host"),),
        cap_add=("SYS_ADMIN",),
        mounts=(BindMount(source="/var/run/docker.sock", target="/s"),),
    )
    told = "\n".join(swarm.risks_of(service))
    for part in ("port 8080/tcp is open on every address of every node", "each node that runs a task", "SYS_ADMIN",
                 "nodes' network", "control of the host"):  # fmt: skip
        assert part in told


def test_a_change_of_many_tasks_and_slow_checks_has_more_time() -> None:
    one = Service(name="a", image="i")
    many = one.model_copy(update={"replicas": 20})
    at_once = many.model_copy(update={"update": UpdatePolicy(parallelism=0)})
    slow = one.model_copy(update={"healthcheck": HealthCheck(start_period=Duration(minutes=9))})
    limits = [swarm.time_to_settle(item) for item in (one, at_once, slow, many)]
    assert limits[0] == limits[1] < limits[3]
    assert limits[2] > Duration(minutes=9)
