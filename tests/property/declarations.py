"""What the property tests draw: declarations, edits of them, what goes wrong. Small, so that they shrink."""

from hypothesis import strategies as st

from bayplan.models import (
    Container,
    Dependency,
    Duration,
    Endpoint,
    Image,
    Network,
    Port,
    Stack,
    UpdateConfig,
    VolumeMount,
)
from bayplan.models import Volume as VolumeModel

NAMES = ("a", "b", "c", "d")
ANY = st.booleans()
STOP_FIRST = UpdateConfig(monitor=Duration())
START_FIRST = UpdateConfig(monitor=Duration(), order="start-first")
FREE_FIELDS = ("image", "user", "environment", "labels", "expose", "ports", "update_config")
"""Fields that can be taken over from a container of another stack."""
CUTS = st.sampled_from(
    (
        "",
        *(f"{verb} {name}" for verb in ("create", "start", "update", "heal", "stop", "take_over") for name in NAMES),
        *(f"{verb} {name}.successor" for verb in ("create", "start", "delete") for name in NAMES),
        *(f"{verb} {name}.superseded" for verb in ("drain", "delete") for name in NAMES),
    )
)


@st.composite
def stacks(draw) -> Stack:
    networks = draw(st.lists(st.sampled_from(("n1", "n2")), unique=True))
    volumes = draw(st.lists(st.sampled_from(("v1", "v2")), unique=True))
    containers = []
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    for number, name in enumerate(names):
        containers.append(
            Container(
                name=name,
                service=draw(st.sampled_from((name, ""))),
                image=draw(st.sampled_from(("i1", "i2"))),
                user=draw(st.sampled_from((None, "1", "2"))),
                environment=draw(st.dictionaries(st.sampled_from(("X", "Y")), st.sampled_from(("1", "2")))),
                labels=draw(st.dictionaries(st.sampled_from(("l", "m")), st.sampled_from(("1", "2")))),
                ports=[Port(target=80, published=8000 + NAMES.index(name))] if draw(st.booleans()) else [],
                expose=draw(st.sampled_from(((), ("1",), ("2",)))),
                networks=[Endpoint(network=item) for item in networks if draw(st.booleans())],
                mounts=[VolumeMount(source=v, target=f"/{v}") for v in volumes if draw(st.booleans())],
                update_config=draw(st.sampled_from((None, None, STOP_FIRST, START_FIRST))),
                depends_on=[
                    Dependency(service=other, restart=draw(st.booleans()))
                    for other in names[:number]
                    if draw(st.booleans())
                ],
            )
        )
    return Stack(
        name="p",
        networks=tuple(Network(name=item, internal=draw(st.booleans())) for item in networks),
        volumes=tuple(VolumeModel(name=item) for item in volumes),
        containers=tuple(containers),
    )


@st.composite
def pairs(draw) -> tuple[Stack, Stack]:
    """A stack and what becomes of it: another one, or the same with some containers edited or gone."""
    first, other = draw(stacks()), draw(stacks())
    if draw(st.sampled_from((False, False, False, True))):
        return first, other
    fresh = {item.name: item for item in other.containers}
    kept = []
    for item in first.containers:
        fields = draw(st.lists(st.sampled_from((*FREE_FIELDS, "gone")), max_size=2, unique=True))
        source = fresh.get(item.name)
        if "gone" not in fields:
            kept.append(item.model_copy(update={name: getattr(source, name) for name in fields}) if source else item)
    services = {item.service for item in kept}
    kept = [
        item.model_copy(update={"depends_on": tuple(d for d in item.depends_on if d.service in services)})
        for item in kept
    ]
    networks = tuple(
        item.model_copy(update={"internal": draw(st.sampled_from((item.internal,) * 3 + (not item.internal,)))})
        for item in first.networks
    )
    return first, first.model_copy(update={"containers": tuple(kept), "networks": networks})


@st.composite
def services(draw) -> Stack:
    """A stack as Compose files make it: services with replicas, images declared, resources that come and go."""
    networks = draw(st.lists(st.sampled_from(("n1", "n2", "n3")), unique=True, max_size=2))
    volumes = draw(st.lists(st.sampled_from(("v1", "v2", "v3")), unique=True, max_size=2))
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    containers = []
    for number, service in enumerate(names):
        common = {
            "service": service,
            "image": draw(st.sampled_from(("i1", "i2"))),
            "user": draw(st.sampled_from((None, "1"))),
            "environment": draw(st.dictionaries(st.sampled_from(("X", "Y")), st.sampled_from(("1", "2")))),
            "labels": draw(st.dictionaries(st.just("l"), st.sampled_from(("1", "2")))),
            "networks": [Endpoint(network=item) for item in networks if draw(st.booleans())],
            "mounts": [VolumeMount(source=item, target=f"/{item}") for item in volumes if draw(st.booleans())],
            "depends_on": [Dependency(service=one, restart=draw(ANY)) for one in names[:number] if draw(ANY)],
        }
        replicas = draw(st.integers(1, 3))
        ports = (
            [Port(target=80, published=8000 + NAMES.index(service))] if replicas == 1 and draw(st.booleans()) else []
        )
        containers += [Container(name=f"p-{service}-{one}", ports=ports, **common) for one in range(1, replicas + 1)]
    return Stack(
        name="p",
        networks=tuple(Network(name=item, internal=draw(st.booleans())) for item in networks),
        volumes=tuple(VolumeModel(name=item) for item in volumes),
        images=tuple(Image(name=name) for name in sorted({item.image for item in containers})),
        containers=tuple(containers),
    )
