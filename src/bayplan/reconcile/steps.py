"""The step that each resource needs by itself: compared with what is observed, whatever happens to others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from bayplan.errors import ConflictError, NotFoundError
from bayplan.models import Change, Condition, Container, Kind, Resource, ResourceId, RestartCondition, Stack
from bayplan.reconcile.diff import compare, image_change
from bayplan.reconcile.graph import uses
from bayplan.reconcile.lots import starts_first
from bayplan.reconcile.plan import Action, FieldChange, Note, Step, Wait, service_of
from bayplan.reconcile.reasons import ABSENT, joined
from bayplan.reconcile.risks import risk_of_change, risk_of_network, risk_of_two, risks_of
from bayplan.runtime.protocol import LIVE, Facts, ImageOrigin, Observed, ResolvedImage, Runtime, Snapshot, State

_ACTION_FOR = {
    ImageOrigin.BUILD: Action.BUILD,
    ImageOrigin.REGISTRY: Action.PULL,
    ImageOrigin.LOCAL: Action.TAG,
}
_ACTION_OF = {Change.IN_PLACE: Action.UPDATE, Change.RESTART: Action.RESTART, Change.RECREATE: Action.RECREATE}


class Steps:
    """The steps of one planning run over one snapshot: ``found`` by resource, and what is only ``noted``.

    ``stopped`` names containers that shall not run, ``paused`` those that shall be frozen; ``forced`` are restarted
    or made anew in any case; ``backwards``: see ``make_plan``.
    """

    def __init__(
        self,
        stack: Stack,
        runtime: Runtime,
        snapshot: Snapshot,
        images: Mapping[str, ResolvedImage],
        *,
        facts: Facts,
        stopped: frozenset[ResourceId],
        paused: frozenset[ResourceId] = frozenset(),
        forced: Mapping[ResourceId, Change] | None = None,
        backwards: bool = False,
    ) -> None:
        self.runtime, self.snapshot, self.images = runtime, snapshot, images
        self.stopped, self.paused, self.forced = stopped, paused, forced or {}
        self.facts, self.stack, self.backwards = facts, stack, backwards
        self.found: dict[ResourceId, Step] = {}
        self.noted: dict[ResourceId, Note] = {}

    def find(self) -> None:
        """Look at every declared resource. Raises NotFoundError, ConflictError."""
        for resource in self.stack.resources():
            step = self._step(resource)
            if step:
                self.found[resource.id] = step

    def fields(self, item: ResourceId) -> tuple[FieldChange, ...]:
        """The changed fields found so far, also those that would only have been noted: another step shows them."""
        known = self.found.get(item) or self.noted.get(item)
        return known.fields if known else ()

    def make(
        self,
        resource: Resource,
        action: Action,
        why: str,
        fields: tuple[FieldChange, ...] = (),
        how: Change = Change.NONE,
    ) -> Step:
        """A step with its risks, and what it waits for."""
        risks = (*risks_of(resource), *self._risks_of_change(resource, how))
        waits = self._waits(resource) if action is not Action.HEAL else ()
        desired = resource.model_copy()
        return Step(
            resource=resource.id,
            service=service_of(resource),
            action=action,
            why=why,
            fields=fields,
            risks=risks,
            waits=waits,
            runs=resource.id not in self.stopped,
            paused=resource.id in self.paused,
            desired=desired,
        )

    def _risks_of_change(self, resource: Resource, how: Change) -> Iterable[str]:
        """What a change takes from those who use a resource: nothing of a container that does not run."""
        if resource.kind is Kind.SERVICE:
            return risk_of_change(how)
        if resource.kind is Kind.NETWORK:
            there_now = (item for item in self.snapshot.of(Kind.CONTAINER) if item.status.state in LIVE)
            return risk_of_network(how, [item.id.name for item in there_now if resource.id in uses(item.actual)])
        there = self.snapshot.get(resource.id)
        if not isinstance(resource, Container) or there is None or there.status.state not in LIVE:
            return ()
        if how is Change.RECREATE and starts_first(resource, backwards=self.backwards):
            return risk_of_two(resource)
        return risk_of_change(how)

    def _step(self, resource: Resource) -> Step | None:
        if resource.kind is Kind.IMAGE:
            return self._image_step(resource)
        observed = self.snapshot.get(resource.id)
        if getattr(resource, "external", False):
            if observed is None:
                made = resource.kind in (Kind.NETWORK, Kind.VOLUME) and self.facts.engine != "swarm"
                way = f"`bayplan {resource.kind.value} create {resource.name}`" if made else "create it"
                raise NotFoundError(f"external {resource.id} does not exist", hint=f"{way}, or drop `external`")
            return None
        if observed is None:
            return self.make(resource, Action.CREATE, ABSENT)
        observed = self.runtime.aligned(resource, observed)
        changes = self._changes(resource, observed)
        self._check_owner(resource, observed, changes)
        if observed.status.state is State.INCOMPLETE:
            return self.make(resource, Action.CREATE, "an interrupted change left it half made")
        if resource.kind is Kind.VOLUME and any(item.how is Change.RECREATE for item in changes):
            raise _lossy(resource, changes)
        if resource.kind is Kind.NETWORK and any(item.how is Change.RECREATE for item in changes):
            self._check_leavable(resource, changes)
        return self._changed(resource, observed, changes)

    def _check_owner(self, resource: Resource, observed: Observed, changes: Sequence[FieldChange]) -> None:
        """Raise ConflictError for what is somebody else's.

        What another tool made under this project's labels (`docker compose`) is taken over; what belongs to nobody
        only where it is all that is declared. Recorded then, it is ours.
        """
        if observed.managed and observed.project == self.stack.name:
            return
        of_project = observed.project == self.stack.name != ""
        as_declared = observed.project == "" and all(item.how is Change.NONE for item in changes)
        if observed.managed or not (of_project or as_declared):
            owner = observed.project or "another tool or no project"
            other = ", ".join(item.path for item in changes if item.how is not Change.NONE)
            hint = "choose another name" + (f"; it is not taken over, as it has another {other}" if other else "")
            raise ConflictError(f"{resource.id} exists and belongs to {owner}", hint=hint)
        self.noted[resource.id] = Note(resource=resource.id, fields=tuple(changes), desired=resource.model_copy())

    def _changed(self, resource: Resource, observed: Observed, changes: tuple[FieldChange, ...]) -> Step | None:
        """One step that brings everything in order: fields, defects, and a container that does not run."""
        changing = [item for item in changes if item.how is not Change.NONE]
        defects = [Change(how) for how in observed.defects.values()]
        asked = [self.forced[resource.id]] if resource.id in self.forced else []
        ways = (*(item.how for item in changing), *defects, *asked)
        heaviest = max(ways, key=lambda how: how.weight, default=Change.NONE)
        reasons = [said] if (said := joined(changes)) else []
        if asked:
            reasons.append(f"{_ACTION_OF[asked[0]].value} was asked for")
        if observed.defects:
            reasons.append("drift: " + "; ".join(observed.defects))
        if heaviest.weight <= Change.IN_PLACE.weight and (turn := self._turn(resource, observed)):
            # Defects are of running containers: a start makes everything of it anew, a stop ends what has them.
            return self.make(resource, turn[0], "; ".join([*reasons, turn[1]]), changes)
        if heaviest is Change.NONE:
            if changes:
                self.noted[resource.id] = Note(resource=resource.id, fields=changes, desired=resource.model_copy())
            return None
        action = _ACTION_OF[heaviest] if changing or heaviest is not Change.IN_PLACE else Action.HEAL
        step = self.make(resource, action, "; ".join(reasons), changes, heaviest)
        return step.model_copy(update={"defects": tuple(observed.defects)}) if heaviest is Change.IN_PLACE else step

    def _changes(self, resource: Resource, observed: Observed) -> tuple[FieldChange, ...]:
        changes = compare(resource, observed, self.facts)
        image = self.images.get(resource.image) if isinstance(resource, Container) else None
        if image and isinstance(resource, Container):
            moved = image_change(resource, observed, image.digest, image.why or "the image's content changed")
            if moved:
                changes = (*changes, moved)
        return changes

    def _check_leavable(self, network: Resource, changes: Sequence[FieldChange]) -> None:
        """A service cannot be taken off a network for a while, as containers are: it stays in its tasks' way."""
        users = [item.id.name for item in self.snapshot.of(Kind.SERVICE) if network.id in uses(item.actual)]
        if users:
            fields = ", ".join(item.path for item in changes if item.how is Change.RECREATE)
            raise ConflictError(
                f"{network.id} cannot be changed ({fields}) while services are on it: {', '.join(sorted(users))}",
                hint="declare another network: services move to it in place",
            )

    def _image_step(self, resource: Resource) -> Step | None:
        resolved = self.images[resource.name]
        if resolved.present or not self.facts.keeps_images:
            return None
        action = _ACTION_FOR[resolved.origin]
        return self.make(resolved.pinned or resource, action, resolved.why or "not on the host")

    def _turn(self, container: Resource, observed: Observed) -> tuple[Action, str] | None:
        """The start or stop that a container needs, and why; fields that change in place come along."""
        status = observed.status
        if not isinstance(container, Container):
            return None
        if container.id in self.stopped:
            return (Action.STOP, "declared stopped, is running") if status.state in LIVE else None
        if status.state in (State.RUNNING, State.PAUSED):
            return self._freezing(container, frozen=status.state is State.PAUSED)
        if status.state not in (State.EXITED, State.CREATED):
            return None
        if status.exit_code == 0 and self._is_one_shot(container):
            return None
        why = "not running" if status.state is State.CREATED else f"ended with exit code {status.exit_code}"
        if status.on_request and status.state is State.EXITED:
            why = "was stopped"
        return Action.START, why

    def _freezing(self, container: Container, *, frozen: bool) -> tuple[Action, str] | None:
        if frozen is (container.id in self.paused):
            return None
        return (Action.START, "paused") if frozen else (Action.PAUSE, "declared paused, is running")

    def _is_one_shot(self, container: Container) -> bool:
        """Whether an end with success is its goal: somebody waits for that, or it must not be restarted."""
        waited = not self._awaited_ends.isdisjoint((container.service, container.name))
        return waited or container.restart.condition is RestartCondition.ON_FAILURE

    @cached_property
    def _awaited_ends(self) -> frozenset[str]:
        """Services and containers whose end somebody waits for: found once, as many may ask."""
        return frozenset(
            dependency.service
            for other in self.stack.containers
            for dependency in other.depends_on
            if dependency.condition is Condition.COMPLETED
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


def _lossy(volume: Resource, changes: Sequence[FieldChange]) -> ConflictError:
    """What refuses a change of a volume that would need a new one, with the way to take its data along."""
    fields, name = ", ".join(item.path for item in changes if item.how is Change.RECREATE), volume.name
    return ConflictError(
        f"{volume.id} cannot be changed ({fields}) without losing its data",
        hint=f"declare another volume, and move the data: `bayplan volume export {name} -o data.tar`,"
        " `bayplan volume import NEW data.tar`",
    )
