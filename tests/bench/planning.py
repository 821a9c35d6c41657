"""A plan of many resources on the fake runtime: ``planning.py [N]``, where N is one size, in this process.

Each size has a process of its own, so that its memory is its own. What is planned: all of it anew, nothing (all is
there), an edit of each container, one step for every one of them that ended, and the removal of everything.
"""

import gc
import json
import resource
import subprocess
import sys
import time

from bayplan.models import Container, Dependency, Endpoint, Image, Network, Port, Stack, Volume, VolumeMount
from bayplan.reconcile.planner import make_plan
from bayplan.runtime.fake import FakeRuntime
from bayplan.runtime.protocol import Scope, State

SIZES = (1_000, 3_000, 10_000)
_OF_TEN = {"containers": 7, "volumes": 2}
_PER_SERVICE, _PER_NETWORK = 7, 100


def stack(count, user=None):
    """So many resources: services of seven replicas, each needs the one before; a network for a hundred containers."""
    containers = count * _OF_TEN["containers"] // 10
    volumes = count * _OF_TEN["volumes"] // 10
    networks = count - containers - volumes - 1
    return Stack(
        name="wide",
        networks=tuple(Network(name=f"n{number}") for number in range(networks)),
        volumes=tuple(Volume(name=f"v{number}") for number in range(volumes)),
        images=(Image(name="lab/busybox"),),
        containers=tuple(_container(number, networks, volumes, user) for number in range(containers)),
    )


def _container(number, networks, volumes, user):
    service = number // _PER_SERVICE
    return Container(
        name=f"c{number}",
        service=f"s{service}",
        image="lab/busybox",
        user=user,
        environment={"NUMBER": str(number)},
        networks=(Endpoint(network=f"n{number % networks}"),),
        ports=(Port(target=80, published=1024 + number),),
        mounts=(VolumeMount(source=f"v{number % volumes}", target="/data"),),
        depends_on=(Dependency(service=f"s{service - 1}"),) if service else (),
    )


def measure(count):
    """Seconds of processor time of each plan, and the most memory that the process had (MiB)."""
    gc.set_threshold(200_000, 20, 20)  # as the command does
    runtime, wanted, found = FakeRuntime(), stack(count), {}

    def timed(name, steps, *arguments, **options):
        began = time.process_time()
        plan = make_plan(*arguments, **options)
        found[f"{name}_s"] = time.process_time() - began
        assert len(plan.steps) == steps, f"{name}: {len(plan.steps)} steps, not {steps}"

    timed("create", count, wanted, runtime)
    digest = runtime.resolve(wanted.images[0]).digest
    for item in sorted(wanted.resources(), key=lambda one: isinstance(one, Container)):
        runtime.create(item, project=wanted.name, digest=digest)
        if isinstance(item, Container):
            runtime.start(item.name)
    timed("unchanged", 0, wanted, runtime)
    timed("edit", len(wanted.containers), stack(count, user="1"), runtime)
    for item in wanted.containers:
        runtime._set(item.name, state=State.EXITED, exit_code=0)
    timed("ended", len(wanted.containers), wanted, runtime)
    gone = len(wanted.containers) + len(wanted.networks)
    timed("remove", gone, Stack(name=wanted.name), runtime, scope=Scope(project=wanted.name))
    found["mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def sizes():
    """The figures of each size, by its number."""
    told = (subprocess.run([sys.executable, __file__, str(size)], check=True, stdout=subprocess.PIPE) for size in SIZES)
    return dict(zip(SIZES, (json.loads(one.stdout) for one in told), strict=True))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(int(sys.argv[1]))))
    else:
        for size, figures in sizes().items():
            print(f"{size:>6}  " + "  ".join(f"{name} {value:.2f}" for name, value in figures.items()))
