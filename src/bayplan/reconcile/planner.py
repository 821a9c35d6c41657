"""Makes the plan: what is compared with what should be, and the steps between them in order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from bayplan.errors import ConflictError, NotFoundError, UnavailableError
from bayplan.models import (
    Change,
    Condition,
    Container,
    Image,
    Kind,
    Resource,
    ResourceId,
    RestartCondition,
    Stack,
    VolumeMount,
    labels,
)
from bayplan.reconcile import image_mounts, others_mounts, renamed, warnings
from bayplan.reconcile.diff import compare, image_change
from bayplan.reconcile.graph import check_acyclic, namespace_owners, removal_order, requirements
from bayplan.reconcile.plan import Action, FieldChange, Note, Plan, Step, Wait
from bayplan.reconcile.risks import risk_of_change, risks_of
from bayplan.runtime.protocol import ImageOrigin, Observed, ResolvedImage, Runtime, Scope, Snapshot, State

_ACTION_OF = {Change.IN_PLACE: Action.UPDATE, Change.RESTART: Action.RESTART, Change.RECREATE: Action.RECREATE}

_NEW_NAMESPACES = {
    Action.CREATE: "made",
    Action.RECREATE: "re-created",
    Action.RESTART: "restarted",
    Action.START: "started",
}


def fingerprint(snapshot: Snapshot) -> str:
    """A digest of what a plan relies on: resources, their state and defects, but not health, pids or times.

    A container between an end and its restart by policy is as good as running: the plan for it is the same.
    """
    items = [
        [
            str(item.id),
            item.handle,
            (State.RUNNING if item.status.state is State.RESTARTING else item.status.state).value,
            item.image_digest,
            item.superseded,
            sorted(item.defects),
            item.actual.model_dump_json(),
        ]
        for item in sorted(snapshot.resources.values(), key=lambda item: str(item.id))
    ]
    return hashlib.sha256(json.dumps(items).encode()).hexdigest()


def default_scope(stack: Stack) -> Scope:
    """A project's own resources, and everything that the declaration names."""
    return Scope(project=stack.name or None, names=tuple(item.id for item in stack.resources()))


def make_plan(
    stack: Stack,
    runtime: Runtime,
    *,
    scope: Scope | None = None,
    absent: Sequence[ResourceId] | Callable[[Snapshot], Collection[ResourceId]] = (),
    stopped: Collection[ResourceId] = (),
) -> Plan:
    """Everything that must happen for the host to match ``stack``; ``absent`` names what must be gone as well.

    As a function it names some of what is observed in the scope.

    ``stopped`` names declared containers that must be there but not run.

    Reads only. Raises DeclarationError, NotFoundError, ConflictError or UnsupportedError for what cannot work.
    """
    check_acyclic({item.id: requirements(item, stack) for item in stack.resources()})
    images = {item.name: _resolved(item, runtime) for item in stack.images}
    declared, stack = stack, image_mounts.complete(others_mounts.complete(stack, runtime), images)
    scope = scope or default_scope(stack)
    added = (item.id for item in stack.volumes if item not in declared.volumes)
    named = () if callable(absent) else tuple(absent)
    scope = Scope(project=scope.project, names=tuple(dict.fromkeys((*scope.names, *added, *named))))
    snapshot = runtime.observe(scope)
    gone = frozenset(absent(snapshot) if callable(absent) else named)
    stack = renamed.follow(stack, snapshot)
    return _Planner(stack, runtime, scope, snapshot, images, stopped=frozenset(stopped)).plan(gone)


def _resolved(image: Image, runtime: Runtime) -> ResolvedImage:
    """What the image stands for; an error that does not say which image says so then."""
    try:
        return runtime.resolve(image)
    except UnavailableError as error:
        if image.name not in str(error):
            error.what = f"image {image.name}: {error.what}"
        raise


class _Planner:
    """One planning run over one snapshot."""

    def __init__(
        self,
        stack: Stack,
        runtime: Runtime,
        scope: Scope,
        snapshot: Snapshot,
        images: Mapping[str, ResolvedImage],
        *,
        stopped: frozenset[ResourceId],
    ) -> None:
        self.runtime, self.scope, self.snapshot, self.images = runtime, scope, snapshot, images
        self.stopped = stopped
        self.facts = runtime.facts()
        key = self.facts.key.get_secret_value()
        self.stack = stack.model_copy(update={"containers": tuple(item.sealed(key) for item in stack.containers)})
        self.steps: dict[ResourceId, Step] = {}
        self.noted: dict[ResourceId, Note] = {}
        self.kept: list[str] = []

    def plan(self, absent: Collection[ResourceId]) -> Plan:
        for resource in self.stack.resources():
            step = self._step(resource)
            if step:
                self.steps[resource.id] = step
        self._follow_network_recreation()
        self._follow_namespace_and_restart()
        doomed = self._doomed(absent)
        changing = [s.desired for s in self.steps.values() if s.desired is not None]
        self.runtime.check(changing, self.stack.name, removing=tuple(doomed))
        removals = self._removals(doomed)
        ordered = self._left_last(removals, self._ordered(removals))
        touched = {item.resource for item in ordered}
        return Plan(
            project=self.stack.name,
            engine=self.facts.engine,
            host=self.facts.host,
            scope=self.scope,
            basis=fingerprint(self.snapshot),
            steps=tuple(ordered),
            noted=tuple(note for item, note in self.noted.items() if item not in self.steps),
            images=dict(self.images),
            unchanged=tuple(item.id for item in self.stack.resources() if item.id not in touched),
            kept=tuple(self.kept),
            warnings=tuple(warnings.of_networks(self.stack, self.snapshot, ordered, self.facts)),
        )

    # -- one resource ------------------------------------------------------------------------------------------

    def _step(self, resource: Resource) -> Step | None:
        if resource.kind is Kind.IMAGE:
            return self._image_step(resource)
        observed = self.snapshot.get(resource.id)
        if getattr(resource, "external", False):
            if observed is None:
                raise NotFoundError(f"external {resource.id} does not exist", hint="create it, or drop `external`")
            return None
        if observed is None:
            return self._make(resource, Action.CREATE, "declared, not on the host")
        if not observed.managed or observed.project != self.stack.name:
            owner = observed.project or "another tool or no project"
            raise ConflictError(f"{resource.id} exists and belongs to {owner}", hint="choose another name")
        if observed.status.state is State.INCOMPLETE:
            return self._make(resource, Action.CREATE, "an interrupted change left it half made")
        changes = self._changes(resource, observed)
        if resource.kind is Kind.VOLUME and any(item.how is Change.RECREATE for item in changes):
            raise ConflictError(f"{resource.id} cannot be changed without losing its data", hint="use a new volume")
        return self._changed(resource, observed, changes)

    def _changed(self, resource: Resource, observed: Observed, changes: tuple[FieldChange, ...]) -> Step | None:
        """One step that brings everything in order: fields, defects, and a container that does not run."""
        changing = [item for item in changes if item.how is not Change.NONE]
        defects = [Change(how) for how in observed.defects.values()]
        heaviest = max((*(item.how for item in changing), *defects), key=lambda how: how.weight, default=Change.NONE)
        reasons = sorted({item.why for item in changing})
        if observed.defects:
            reasons.append("drift: " + "; ".join(observed.defects))
        if heaviest.weight <= Change.IN_PLACE.weight and (turn := self._turn(resource, observed)):
            # Defects are of running containers: a start makes everything of it anew, a stop ends what has them.
            return self._make(resource, turn[0], "; ".join([*reasons, turn[1]]), changes)
        if heaviest is Change.NONE:
            if changes:
                self.noted[resource.id] = Note(resource=resource.id, fields=changes, desired=resource.model_copy())
            return None
        action = _ACTION_OF[heaviest] if changing or heaviest is not Change.IN_PLACE else Action.HEAL
        step = self._make(resource, action, "; ".join(reasons), changes, heaviest)
        return step.model_copy(update={"defects": tuple(observed.defects)}) if heaviest is Change.IN_PLACE else step

    def _changes(self, resource: Resource, observed: Observed) -> tuple[FieldChange, ...]:
        changes = compare(resource, observed, self.facts)
        image = self.images.get(resource.image) if isinstance(resource, Container) else None
        if image and isinstance(resource, Container):
            moved = image_change(resource, observed, image.digest, image.why or "the image's content changed")
            if moved:
                changes = (*changes, moved)
        return changes

    def _image_step(self, resource: Resource) -> Step | None:
        resolved = self.images[resource.name]
        if resolved.present:
            return None
        action = Action.BUILD if resolved.origin is ImageOrigin.BUILD else Action.PULL
        return self._make(resolved.pinned or resource, action, resolved.why or "not on the host")

    def _turn(self, container: Resource, observed: Observed) -> tuple[Action, str] | None:
        """The start or stop that a container needs, and why; fields that change in place come along."""
        status = observed.status
        if not isinstance(container, Container):
            return None
        if container.id in self.stopped:
            running = status.state in (State.RUNNING, State.PAUSED, State.RESTARTING)
            return (Action.STOP, "declared stopped, is running") if running else None
        if status.state is State.PAUSED:
            return Action.START, "paused"
        if status.state not in (State.EXITED, State.CREATED):
            return None
        if status.exit_code == 0 and self._is_one_shot(container):
            return None
        why = "not running" if status.state is State.CREATED else f"ended with exit code {status.exit_code}"
        if status.on_request and status.state is State.EXITED:
            why = "was stopped"
        return Action.START, why

    def _is_one_shot(self, container: Container) -> bool:
        """Whether an end with success is its goal: somebody waits for that, or it must not be restarted."""
        names = (container.service, container.name)
        waited = any(
            dependency.condition is Condition.COMPLETED and dependency.service in names
            for other in self.stack.containers
            for dependency in other.depends_on
        )
        return waited or container.restart.condition is RestartCondition.ON_FAILURE

    def _make(
        self,
        resource: Resource,
        action: Action,
        why: str,
        fields: tuple[FieldChange, ...] = (),
        how: Change = Change.NONE,
    ) -> Step:
        changing = risk_of_change(how) if resource.kind is Kind.CONTAINER else ()
        risks = (*risks_of(resource), *changing)
        waits = self._waits(resource) if action is not Action.HEAL else ()
        desired = resource.model_copy()
        return Step(
            resource=resource.id,
            action=action,
            why=why,
            fields=fields,
            risks=risks,
            waits=waits,
            runs=resource.id not in self.stopped,
            desired=desired,
        )

    def _waits(self, resource: Resource) -> tuple[Wait, ...]:
        """What it waits for before it runs: nothing when it shall not, and for none that shall not."""
        if not isinstance(resource, Container) or resource.id in self.stopped:
            return ()
        return tuple(
            Wait(container=item.name, condition=dependency.condition, required=dependency.required)
            for dependency in resource.depends_on
            for item in self.stack.containers_of(dependency.service)
            if item.id not in self.stopped
        )

    # -- what follows from other steps -------------------------------------------------------------------------

    def _follow_network_recreation(self) -> None:
        """A network that is made anew takes its containers off first; they come back on it."""
        for step in list(self.steps.values()):
            if step.resource.kind is not Kind.NETWORK or step.action is not Action.RECREATE:
                continue
            users = [
                item
                for item in self.snapshot.of(Kind.CONTAINER)
                if isinstance(item.actual, Container)
                and step.resource.name in [endpoint.network for endpoint in item.actual.networks]
            ]
            self.steps[step.resource] = step.model_copy(update={"displaces": tuple(item.id for item in users)})
            for item in users:
                desired = self.stack.find(item.id)
                if desired is not None:
                    fields, why = self._found(item.id), f"{step.resource} is re-created"
                    self.steps[item.id] = self._make(desired, Action.RECREATE, why, fields, Change.RECREATE)

    def _found(self, item: ResourceId) -> tuple[FieldChange, ...]:
        """The changed fields found so far, also those that would only have been noted: its new step shows them."""
        known = self.steps.get(item) or self.noted.get(item)
        return known.fields if known else ()

    def _follow_namespace_and_restart(self) -> None:
        """Containers that share a namespace with one that starts anew, or asked to restart with it, follow it."""
        while any(self._follow(container) for container in self.stack.containers):
            pass

    def _follow(self, container: Container) -> bool:
        if container.id in self.steps or self.snapshot.get(container.id) is None or container.id in self.stopped:
            return False
        why = ""
        for owner in sorted(namespace_owners(container), key=str):
            step = self.steps.get(owner)
            if step and step.action in _NEW_NAMESPACES:
                why = f"shares a namespace of {owner}, which is {_NEW_NAMESPACES[step.action]}"
        for dependency in container.depends_on:
            steps = [self.steps.get(item.id) for item in self.stack.containers_of(dependency.service)]
            if not why and dependency.restart and any(item and item.action is Action.RECREATE for item in steps):
                why = f"{dependency.service} is re-created, and depends_on asks for a restart"
        if why:
            fields = self._found(container.id)
            self.steps[container.id] = self._make(container, Action.RESTART, why, fields, Change.RESTART)
        return bool(why)

    # -- removal -----------------------------------------------------------------------------------------------

    def _doomed(self, absent: Collection[ResourceId]) -> dict[ResourceId, str]:
        doomed: dict[ResourceId, str] = {}
        for item in self.snapshot.resources.values():
            if item.id in absent:
                doomed[item.id] = "declared absent"
            elif item.superseded:
                doomed[item.id] = "left by an interrupted replacement"
            elif self.stack.find(item.id) is None and item.managed and self._in_project(item):
                if item.id.name in self._of_images() or _is_one_off(item):
                    continue
                if item.actual.kind in (Kind.VOLUME, Kind.IMAGE):
                    self.kept.append(f"{item.id} is no longer declared; data is never removed unasked")
                else:
                    doomed[item.id] = "no longer declared"
        return doomed

    def _of_images(self) -> frozenset[str]:
        """Volumes that images have asked for, of containers that stay: an image that is not built yet may again."""
        return frozenset(
            mount.source
            for item in self.snapshot.of(Kind.CONTAINER)
            if isinstance(item.actual, Container) and self.stack.find(item.id) is not None
            for mount in item.actual.mounts
            if isinstance(mount, VolumeMount) and mount.of_image
        )

    def _in_project(self, item: Observed) -> bool:
        return self.scope.project is not None and item.project == self.scope.project

    def _removals(self, doomed: Mapping[ResourceId, str]) -> list[Step]:
        order = removal_order(doomed, self.snapshot)
        risk = {Kind.VOLUME: ("data: the volume's content is lost",)}
        steps = {
            item: Step(resource=item, action=Action.DELETE, why=why, needs=order[item], risks=risk.get(item.kind, ()))
            for item, why in doomed.items()
        }
        return [steps[item] for item in _sorted(order)]

    def _left_last(self, removals: Sequence[Step], others: Sequence[Step]) -> list[Step]:
        """All steps; a network goes after the containers that leave it with a change of theirs."""
        first, last = list[Step](), list[Step]()
        for step in removals:
            if step.resource.kind is not Kind.NETWORK:
                first.append(step)
                continue
            users = [
                other.resource
                for other in others
                if (found := self.snapshot.get(other.resource)) is not None
                and isinstance(found.actual, Container)
                and step.resource in {ResourceId(kind=Kind.NETWORK, name=one.network) for one in found.actual.networks}
            ]
            (last if users else first).append(step.model_copy(update={"needs": (*step.needs, *users)}))
        return [*first, *others, *last]

    def _ordered(self, removals: Sequence[Step]) -> list[Step]:
        """Steps with the needs that are steps themselves; containers are made after those that leave."""
        leaving = tuple(item.resource for item in removals if item.resource.kind is Kind.CONTAINER)
        edges: dict[ResourceId, tuple[ResourceId, ...]] = {}
        for resource in self.stack.resources():
            if resource.id in self.steps:
                edges[resource.id] = tuple(
                    item for item in sorted(requirements(resource, self.stack), key=str) if item in self.steps
                )
        return [
            self.steps[item].model_copy(
                update={"needs": (*edges[item], *(leaving if item.kind is Kind.CONTAINER else ()))}
            )
            for item in _sorted(edges)
        ]


def _is_one_off(item: Observed) -> bool:
    """Whether it is a container of a single command, which ends by itself; only a destroy takes it along."""
    return isinstance(item.actual, Container) and labels.ONE_OFF in item.actual.labels


def _sorted(edges: Mapping[ResourceId, Iterable[ResourceId]]) -> list[ResourceId]:
    """A stable order in which every need comes first."""
    placed: dict[ResourceId, None] = {}

    def place(item: ResourceId) -> None:
        if item in placed:
            return
        for need in edges.get(item, ()):
            place(need)
        placed.setdefault(item)

    for item in edges:
        place(item)
    return [item for item in placed if item in edges]
