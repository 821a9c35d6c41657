"""Images built from Dockerfiles on the real core: steps, cache, failures, reproducibility."""

import os
import shutil
import subprocess
from ipaddress import IPv4Address

import pytest

from bayplan.errors import DeclarationError, NotFoundError, RuntimeFailureError, StalePlanError, UnsupportedError
from bayplan.models import Build, Image, ImageReference, Kind, ResourceId
from builds import Core, write

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


DOCKERFILE = """\
FROM lab/base
ARG WHO=nobody
ENV GREETING="hello $WHO" PLACE=/srv
COPY first /in/
RUN cat /in/first > /made; mkdir -p $PLACE; rm /etc/old
COPY --chown=app:app --chmod=0640 second $PLACE/second
RUN echo "$GREETING $BASE" > /said
WORKDIR /srv/here
USER app
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["id -u; pwd; cat /said /made /srv/second; echo $GREETING; ls /etc"]
"""


def test_steps_take_effect_and_only_what_changed_is_done_again(core, context):
    write(context, Dockerfile=DOCKERFILE, first="1\n", second="2\n")
    first = core.build(context, args={"WHO": "world"})
    assert [step.split()[1] for step in core.ran()] == ["1/5", "2/5", "3/5", "4/5", "5/5"]
    lines = ["1000", "/srv/here", "hello world yes", "1", "2", "hello world", "group", "hostname", "hosts", "passwd"]
    assert core.output() == [*lines, "resolv.conf"]
    # A label changes the configuration alone: known in advance, and nothing is run.
    planned = core.runtime.resolve(Image(name="lab/app", build=Build(context=str(context), args={"WHO": "world"})))
    assert (planned.present, planned.digest) == (True, first)
    labelled = Image(
        name="lab/app", build=Build(context=str(context), args={"WHO": "world"}, labels={"io.bayplan.test": "1"})
    )
    planned = core.runtime.resolve(labelled)
    assert not planned.present
    assert core.build(context, args={"WHO": "world"}, labels={"io.bayplan.test": "1"}) == planned.digest != first
    assert core.ran() == []
    assert core.runtime.images.store.get(planned.digest).config.labels == {"io.bayplan.test": "1"}
    # An edited file: the steps before it stay.
    write(context, second="two\n")
    why = core.runtime.resolve(Image(name="lab/app", build=Build(context=str(context), args={"WHO": "world"}))).why
    assert why == "the Dockerfile or its arguments and the context changed"
    core.build(context, args={"WHO": "world"})
    assert [step.split()[2] for step in core.ran()] == ["COPY", "RUN", "WORKDIR"]
    assert "two" in core.output()
    again = Build(context=str(context), args={"WHO": "world"}, no_cache=True)
    assert core.runtime.resolve(Image(name="lab/app", build=again)).present  # nothing is planned again
    core.build(context, args={"WHO": "world"}, no_cache=True)
    assert len(core.ran()) == 5


def test_a_comment_or_an_ignored_file_builds_nothing(core, context):
    write(context, Dockerfile="FROM lab/base\nCOPY . /c\n", kept="1", dropped="1", **{".dockerignore": "drop*\n"})
    first = core.build(context)
    write(context, dropped="2", Dockerfile="# words\nFROM lab/base\nCOPY . /c\n")
    planned = core.runtime.resolve(Image(name="lab/app", build=Build(context=str(context))))
    assert planned.present is False  # the Dockerfile itself is in the context here
    write(context, **{".dockerignore": "drop*\nDockerfile\n.dockerignore\n"})
    second = core.build(context)
    assert second != first
    write(context, dropped="3", Dockerfile="# other words\nFROM lab/base\nCOPY . /c\n")
    planned = core.runtime.resolve(Image(name="lab/app", build=Build(context=str(context))))
    assert (planned.present, planned.digest) == (True, second)
    assert core.output(command=("ls", "/c")) == ["kept"]


def test_stages_give_only_what_is_copied_from_them(core, context):
    text = """\
FROM lab/base AS tools
COPY {0} /seed
RUN mkdir -p /out/sub && cp /seed /out/sub/tool && chmod 4755 /out/sub/tool && echo 7 > /out/.hidden
FROM lab/base AS unused
RUN false
FROM scratch
COPY --from=lab/base /bin /bin
COPY --from=tools /out /opt
COPY --from=tools --chown=7:8 /out/sub/t* /one
CMD ["/bin/ls", "-ln", "/opt", "/opt/sub", "/one"]
"""
    write(context, Dockerfile=text.format("a"), a="x", b="x")
    first = core.build(context)
    said = "\n".join(core.output())
    assert "-rwsr-xr-x    1 0        0                1" in said
    assert "-rwsr-xr-x    1 7        8                1" in said
    assert core.output(command=("/bin/cat", "/opt/.hidden")) == ["7"]
    # The first stage is made anew, and gives the same: what is copied from it is not.
    write(context, Dockerfile=text.format("b") + "LABEL a=b\n", b="x", c="y")
    write(context, Dockerfile=(context / "Dockerfile").read_text().replace("RUN mkdir", "RUN true; mkdir"))
    assert core.build(context) != first
    assert [step.split()[2] for step in core.ran()] == ["COPY", "RUN"]
    assert core.build(context, "lab/tools", target="tools") != first
    with pytest.raises(DeclarationError, match=r"no stage 'tool'.*tools"):
        core.runtime.resolve(Image(name="x", build=Build(context=str(context), target="tool")))


def test_a_failed_step_says_where_and_leaves_nothing(core, context):
    write(context, Dockerfile="FROM lab/base\n\nRUN echo one\nRUN echo before; touch /x; echo -n last; exit 3\n")
    with pytest.raises(RuntimeFailureError, match=r"Dockerfile:4: .*RUN echo before.* exit code 3") as caught:
        core.build(context)
    assert caught.value.output == "before\nlast"
    assert core.left() == []
    assert core.runtime.images.store.find(ImageReference.parse("lab/app")) is None
    write(context, Dockerfile="FROM lab/base\n\nRUN echo one\nRUN echo before\n")
    core.build(context)
    assert core.ran() == ["step 2/2 RUN echo before"]


def test_commands_have_a_network_of_their_own_and_no_more_than_a_container(core, context):
    command = "ip route > /route; ip -o link > /links; cat /proc/self/status > /status; env > /env"
    write(context, Dockerfile=f"FROM lab/base\nRUN {command}\n")
    core.build(context)
    _, _, gateway, *device = core.output(command=("cat", "/route"))[0].split()[:5]
    # Which network of the pool is free depends on what others hold on this host.
    assert IPv4Address(gateway) in core.settings.address_pool
    assert device == ["dev", "eth0"]
    assert len(core.output(command=("cat", "/links"))) == 2
    status = core.output(command=("cat", "/status"))
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert {"SOURCE_DATE_EPOCH=0", "BASE=yes", "HOME=/root"} <= set(core.output(command=("cat", "/env")))


def test_cleaning_up_after_a_command_follows_no_link_it_left(core, context, tmp_path):
    decoy = tmp_path / "decoy"
    decoy.mkdir()
    for name in ("hosts", "hostname", "resolv.conf"):
        (decoy / name).touch()
    write(context, Dockerfile=f"FROM scratch\nCOPY --from=lab/base /bin /bin\nRUN mv /etc /moved; ln -s {decoy} /etc\n")
    core.build(context)
    assert len(list(decoy.iterdir())) == 3


def test_only_what_a_command_made_is_in_its_layer(core, context):
    write(context, Dockerfile="FROM scratch\nCOPY --from=lab/base /bin /bin\nRUN echo 1 > /made\n")
    stored = core.runtime.images.store.get(core.build(context))
    layer = core.runtime.images.layers.path(stored.chain_ids[-1])
    assert [path.name for path in layer.iterdir()] == ["made"]


def test_two_cores_give_the_same_image(core, context, tmp_path):
    text = DOCKERFILE + "RUN echo x > /tmp-file\n"
    write(
        context, Dockerfile=text.replace("USER app", "RUN mkdir /d && echo 1 > /d/1"), first="1", second="2", sub__x="x"
    )
    (context / "sub/link").symlink_to("x")
    write(context, Dockerfile=(context / "Dockerfile").read_text() + "COPY sub /sub\n")
    other = tmp_path / "copied"
    shutil.copytree(context, other, symlinks=True)
    for path in other.rglob("*"):
        os.utime(path, (5, 5), follow_symlinks=False)
    second = Core(1)
    try:
        one, two = core.build(context), second.build(other)
        assert one == two
        first_layers, second_layers = (item.runtime.images.store.get(one).layers for item in (core, second))
        assert first_layers == second_layers
    finally:
        second.close()


def test_layers_taken_over_are_what_unpacking_gives(core, context):
    write(context, Dockerfile=DOCKERFILE, first="1", second="2")
    digest = core.build(context)
    stored = core.runtime.images.store.get(digest)
    for chain in stored.chain_ids[1:]:
        path = core.runtime.images.layers.path(chain)
        before = listing(path)
        shutil.rmtree(path)
        core.runtime.images.rootfs("lab/app", digest)
        assert listing(path) == before


def listing(top):
    found = []
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        # A whiteout has neither mode nor time of its own.
        own = (
            ()
            if status.st_rdev == 0 and path.is_char_device()
            else (status.st_mode, status.st_uid, int(status.st_mtime))
        )
        found.append((str(path.relative_to(top)), own, content))
    return found


def test_bad_declarations_are_refused_while_planning(core, context):
    def refused(text, **fields):
        write(context, Dockerfile=text)
        with pytest.raises((DeclarationError, NotFoundError)) as caught:
            core.runtime.resolve(Image(name="lab/app", build=Build(context=str(context), **fields)))
        assert caught.value.exit_code == 2
        return str(caught.value)

    assert "Dockerfile:2: COPY: nothing is not in the context" in refused("FROM lab/base\nCOPY nothing /\n")
    assert "did you mean RUN?" in refused("FROM lab/base\nRUNN x\n")
    assert "there is no Dockerfile" in refused("FROM lab/base\n", dockerfile="Other")
    (context / "out").symlink_to("/etc/passwd")
    assert "out is not in the context" in refused("FROM lab/base\nCOPY out /\n")
    assert "leads out of the context" in refused("FROM lab/base\nCOPY ../x /\n")


def test_a_context_that_changed_after_the_plan_is_not_built(core, context):
    write(context, Dockerfile="FROM lab/base\nCOPY a /\n", a="1")
    image = Image(name="lab/app", build=Build(context=str(context)))
    planned = core.runtime.resolve(image)
    write(context, a="2")
    with pytest.raises(StalePlanError, match="lab/app"):
        core.runtime.create(image, project="", digest=planned.digest)


def test_removing_the_image_forgets_its_results(core, context):
    write(context, Dockerfile="FROM lab/base AS one\nRUN echo 1 > /1\nFROM lab/base\nCOPY --from=one /1 /2\n")
    core.build(context)
    core.build(context, "lab/other", labels={"a": "b"})
    assert core.ran() == []
    core.runtime.delete(ResourceId(kind=Kind.IMAGE, name="lab/other"))
    core.build(context, labels={"c": "d"})
    assert core.ran() == []
    core.runtime.delete(ResourceId(kind=Kind.IMAGE, name="lab/app"))
    layers = [path for path in core.runtime.images.layers.root.iterdir() if path.is_dir()]
    assert len(layers) == 1
    core.build(context)
    assert len(core.ran()) == 2


HEREDOCS = """\
FROM lab/base
ARG WHO=world
COPY <<plain <<"quoted" /in/
hello $WHO
plain
hello $WHO
quoted
RUN <<EOF
echo one > /lines
echo $WHO two >> /lines
EOF
RUN cat <<-A > /a && cat <<'B' > /b
\ttab $WHO
A
$WHO
B
RUN <<EOF
#!/bin/cat
the script itself
EOF
RUN <<EOF
#!/bin/sh
echo "$0" > /name
EOF
CMD ["cat", "/in/plain", "/in/quoted", "/lines", "/a", "/b", "/name"]
"""


def test_heredocs_are_files_and_commands(core, context):
    write(context, Dockerfile=HEREDOCS)
    first = core.build(context)
    said = ["hello world", "hello $WHO", "one", "world two", "tab world", "$WHO", "/dev/pipes/EOF"]
    assert core.output() == said
    # Scripts leave nothing in the layer, and another text is another step.
    stored = core.runtime.images.store.get(first)
    layer = core.runtime.images.layers.path(stored.chain_ids[-1])
    assert [path.name for path in layer.iterdir() if path.name != "etc"] == ["name"]
    write(context, Dockerfile=HEREDOCS.replace('echo "$0"', 'echo "$0 again"'))
    assert core.build(context) != first
    assert len(core.ran()) == 1
    write(context, Dockerfile=HEREDOCS.replace("hello $WHO", "hi", 1))
    core.build(context)
    assert core.ran()[0].split()[2] == "COPY"
    assert core.output()[0] == "hi"


def test_heredocs_give_the_same_image_on_two_cores(core, context):
    write(context, Dockerfile=HEREDOCS)
    second = Core(1)
    try:
        assert core.build(context) == second.build(context)
    finally:
        second.close()


def test_caches_stay_between_builds_and_out_of_the_image(core, context):
    mounts = "--mount=type=cache,target=/c,id=k,sharing=locked,mode=0700 --mount=type=tmpfs,target=/t,size=1m"
    text = "FROM lab/base\nRUN {0} echo {1} >> /c/seen; cp /c/seen /out; touch /t/x; ls -ld /c > /mode\n"
    write(context, Dockerfile=text.format(mounts, 1))
    core.build(context)
    write(context, Dockerfile=text.format(mounts, 2))
    digest = core.build(context)
    assert core.output(command=("cat", "/out")) == ["1", "2"]
    assert core.output(command=("cat", "/mode"))[0].startswith("drwx------")
    stored = core.runtime.images.store.get(digest)
    layer = core.runtime.images.layers.path(stored.chain_ids[-1])
    assert {path.name for path in layer.iterdir()} - {"etc"} == {"out", "mode"}


def test_a_command_without_network_has_loopback_alone(core, context):
    write(context, Dockerfile="FROM lab/base\nRUN --network=none ip -o link > /links; ip route > /route\n")
    core.build(context)
    (link,) = core.output(command=("cat", "/links"))
    assert " lo:" in link
    assert core.output(command=("cat", "/route")) == []
    write(context, Dockerfile="FROM lab/base\nRUN --network=default ip -o link > /links; ip route > /route\n")
    core.build(context)
    assert len(core.output(command=("cat", "/links"))) == 2


def test_what_an_image_keeps_for_its_builds_is_done_in_them(core, context):
    write(
        context,
        base__Dockerfile="FROM lab/base\nMAINTAINER Ada\nWORKDIR /app\nONBUILD COPY a .\nONBUILD RUN cat a > b\n",
    )
    core.build(context / "base", "lab/onbuild")
    assert any("MAINTAINER is deprecated" in step for step in core.steps)
    write(context, Dockerfile="# syntax=registry.invalid/front\nFROM lab/onbuild\nRUN echo more >> b\n", a="a\n")
    digest = core.build(context)
    assert any("# syntax=registry.invalid/front is ignored" in step for step in core.steps)
    assert core.output(command=("cat", "/app/b")) == ["a", "more"]
    store = core.runtime.images.store
    document = store.document(store.document(digest)["config"]["digest"])
    assert document["author"] == "Ada"
    assert "OnBuild" not in document["config"]
    write(context, a="changed\n")
    core.build(context)
    assert core.output(command=("cat", "/app/b")) == ["changed", "more"]


PARALLEL = """\
FROM lab/base AS one
RUN --mount=type=cache,target=/meet touch /meet/one; i=0; while [ ! -e /meet/two ]; do sleep 0.05; done; echo 1 > /out
FROM lab/base AS two
RUN --mount=type=cache,target=/meet touch /meet/two; i=0; while [ ! -e /meet/one ]; do sleep 0.05; done; echo 2 > /out
FROM lab/base
RUN echo 3 > /three
COPY --from=one /out /one
COPY --from=two /out /two
CMD ["cat", "/one", "/two", "/three"]
"""


def test_independent_stages_are_built_at_the_same_time(core, context):
    write(context, Dockerfile=PARALLEL)
    first = core.build(context)  # neither of the first two ends without the other
    assert core.output() == ["1", "2", "3"]
    assert {step.split()[0] for step in core.steps} == {"[one]", "[two]", "[2]"}
    second = Core(1)
    try:
        assert second.build(context) == first
    finally:
        second.close()


def test_the_first_failure_stops_the_other_stages(core, context):
    text = """\
FROM lab/base AS slow
RUN touch /quick
RUN sleep 600
RUN touch /never
FROM lab/base AS broken
RUN echo said; sleep 1; exit 3
FROM lab/base
COPY --from=slow /never /a
COPY --from=broken /x /b
"""
    write(context, Dockerfile=text)
    with pytest.raises(RuntimeFailureError, match=r"Dockerfile:6: .*exit code 3") as caught:
        core.build(context)
    assert caught.value.output == "said"
    assert core.left() == []
    assert not any("never" in step for step in core.steps)
    # What had been done is kept.
    write(context, Dockerfile=text.replace("sleep 600", "true").replace("exit 3", "touch /x"))
    core.build(context)
    assert not any("touch /quick" in step for step in core.ran())


def test_a_linked_layer_out_of_the_cache_over_one_just_made(core, context):
    text = "FROM lab/base\nRUN echo {0} > /below\nCOPY --link a /srv/\nRUN cat /below /srv/a > /both\n"
    text += "CMD cat /both\n"
    write(context, Dockerfile=text.format(1), a="a\n")
    core.build(context)
    write(context, Dockerfile=text.format(2))
    core.build(context)
    assert core.output() == ["2", "a"]


def test_privileges_are_given_only_when_declared(core, context):
    """Attack row "Build": RUN --security=insecure and --network=host."""
    text = """\
FROM lab/base
RUN --security=sandbox cat /proc/self/status > /sandbox
RUN --security=insecure --network=none cat /proc/self/status > /insecure
RUN --network=host ip -o link > /links
"""
    write(context, Dockerfile=text)
    for allowed in ((), ("network.host",), ("security.insecure",)):
        with pytest.raises(UnsupportedError, match="is not allowed to this build"):
            core.runtime.resolve(Image(name="a", build=Build(context=str(context), entitlements=allowed)))
    core.build(context, entitlements=("security.insecure", "network.host"))
    assert core.left() == []
    status = {name: core.output(command=("cat", f"/{name}")) for name in ("sandbox", "insecure")}
    assert "Seccomp:\t2" in status["sandbox"]
    assert "NoNewPrivs:\t1" in status["sandbox"]
    assert "Seccomp:\t0" in status["insecure"]
    assert "NoNewPrivs:\t0" in status["insecure"]
    own = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    names = {line.split()[1].partition("@")[0] for line in core.output(command=("cat", "/links"))}
    assert {line.split()[1].partition("@")[0] for line in own.splitlines()} <= names


def test_a_link_that_is_named_is_copied_as_what_it_leads_to_under_its_own_name(core, context):
    """As Docker's builders do; a link below a directory that is copied stays one."""
    write(context, real="r", Dockerfile="FROM lab/base\nCOPY real link /one/\nCOPY l* /two/\nCOPY link /three\n")
    (context / "link").symlink_to("real")
    (context / "d").mkdir()
    (context / "d/inner").symlink_to("../real")
    with (context / "Dockerfile").open("a") as file:
        file.write("COPY d /four\nRUN ls -l /one /two /three /four > /seen; cat /one/link /two/link /three >> /seen\n")
    core.build(context)
    rows = [line.split() for line in core.output(command=("cat", "/seen"))]
    assert rows[-1] == ["rrr"]
    kinds = {row[8]: row[0][0] for row in rows if len(row) > 8}
    assert kinds == {"link": "-", "real": "-", "/three": "-", "inner": "l"}


def test_commands_see_the_names_the_network_and_the_limits_that_are_declared(core, context):
    script = "cat /etc/hosts > /hosts; cat /proc/mounts > /mounts; ulimit -n > /files; ip link > /links"
    write(context, Dockerfile=f"FROM lab/base\nRUN {script}\n")
    hosts = {"db.example": "10.1.2.3,fd00::3", "me": "host-gateway"}
    core.build(context, extra_hosts=hosts, shm_size="1m", ulimits={"nofile": {"soft": 77, "hard": 88}})
    top = core.runtime.images.rootfs("lab/app", "")[1][0]
    lines = (top / "hosts").read_text().splitlines()
    assert {"10.1.2.3\tdb.example", "fd00::3\tdb.example"} <= set(lines)
    assert [line for line in lines if line.endswith("\tme") and line.startswith("10.213.")]
    shm = next(line for line in (top / "mounts").read_text().splitlines() if " /dev/shm " in line)
    assert "size=1024k" in shm
    assert (top / "files").read_text() == "77\n"
    assert "eth0" in (top / "links").read_text()
    # What changes the result is done anew, what only bounds it is not.
    core.build(context, extra_hosts=hosts, shm_size="2m")
    assert core.ran() == []
    core.build(context, extra_hosts={}, network="none")
    assert len(core.ran()) == 1
    top = core.runtime.images.rootfs("lab/app", "")[1][0]
    assert "eth0" not in (top / "links").read_text()
    write(context, Dockerfile="FROM lab/base\nRUN --network=default ip link > /links\nRUN --network=host true\n")
    with pytest.raises(UnsupportedError, match="--network=host is not allowed"):
        core.build(context, network="none")
    core.build(context, network="host")
    layers = [path for path in core.runtime.images.rootfs("lab/app", "")[1] if (path / "links").exists()]
    assert "eth0" in (layers[0] / "links").read_text()
