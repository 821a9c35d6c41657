"""RUN --mount of every type on the real core."""

import fcntl
import os
import socket
import subprocess

import pytest

from bayplan.errors import BayplanError, DeclarationError, NotFoundError, RuntimeFailureError
from bayplan.models import Build, BuildSecret, Image
from builds import write

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
SECRET = "wonderfully-secret-4711"


def layer_of(core, digest):
    stored = core.runtime.images.store.get(digest)
    layer = core.runtime.images.layers.path(stored.chain_ids[-1])
    return {str(path.relative_to(layer)) for path in layer.rglob("*")}


def test_binds_show_context_and_stages_and_keep_nothing_that_is_written(core, context):
    """Attack row "Build": RUN mounts stay inside and .dockerignore holds for them too."""
    text = """\
FROM lab/base AS tools
RUN mkdir -p /out/deep && echo 7 > /out/deep/seven && ln -s /etc/passwd /out/way
FROM lab/base
WORKDIR /w
RUN --mount=target=. ls > /names && cat sub/one > /one && ! touch sub/two
RUN --mount=type=bind,source=sub/one,target=/etc/deep/er/file cat /etc/deep/er/file > /two
RUN --mount=type=bind,rw,target=/c echo x > /c/new && rm /c/sub/one
RUN --mount=type=bind,from=tools,source=/out,target=/t cat /t/deep/seven > /seven && ! touch /t/x
RUN --mount=from=tools,src=/out,dst=/t,rw echo 8 > /t/deep/seven
RUN --mount=from=tools,source=/out/way,target=/way cat /way > /passwd
RUN --mount=from=lab/base,target=/b ls /b > /listed
CMD ["cat", "/names", "/one", "/two", "/seven", "/passwd", "/listed"]
"""
    write(context, Dockerfile=text, sub__one="1\n", hidden="h", **{".dockerignore": "hidden\nDockerfile\n.docker*\n"})
    digest = core.build(context)
    said = core.output()
    assert said[:4] == ["sub", "1", "1", "7"]
    assert said[4].startswith("root:x:0:0:root:/root:/bin/sh")  # the stage's file, not the host's
    assert {"bin", "etc"} <= set(said[-2:])
    assert layer_of(core, digest) == {"listed"}
    assert (context / "sub/one").read_text() == "1\n"
    assert not (context / "new").exists()
    # What is mounted counts for the cache, what is left out does not.
    write(context, hidden="other")
    assert core.runtime.resolve(Image(name="lab/app", build=Build(context=str(context)))).present
    write(context, sub__one="one\n")
    core.build(context)
    assert "one" in core.output()


def test_a_bind_from_nowhere_is_refused(core, context):
    (context / "out").symlink_to("/etc")
    for mount, says in (
        ("source=nothing,target=/x", "nothing is not in the context"),
        ("source=out,target=/x", "out is not in the context"),
        ("source=../../etc,target=/x", "etc is not in the context"),
        ("target=/", "its target must be a path other than /"),
        ("target=/proc/x", "not in /proc"),
        ("type=new,target=/x", "types: bind"),
        ("target=/x,colour=red", "bind has"),
    ):
        write(context, Dockerfile=f"FROM lab/base\nRUN --mount={mount} true\n")
        with pytest.raises((DeclarationError, NotFoundError), match=says) as caught:
            core.runtime.resolve(Image(name="lab/app", build=Build(context=str(context))))
        assert "Dockerfile:2" in str(caught.value)
    write(
        context,
        Dockerfile="FROM lab/base AS a\nRUN ln -s / /top\nFROM lab/base\n"
        "RUN --mount=from=a,source=/top/nothing,target=/x true\n",
    )
    with pytest.raises(NotFoundError, match="/top/nothing is not in the stage"):
        core.build(context)


def test_a_secret_is_in_the_command_and_nowhere_else(core, context):
    text = """\
FROM lab/base
RUN --mount=type=secret,id=token,required ls -ln /run/secrets > /row
RUN --mount=type=secret,id=token,target=/etc/tok,mode=0440,uid=7,gid=8 ls -ln /etc/tok >> /row
RUN --mount=type=secret,id=token,env=TOKEN --mount=type=secret,id=token [ "$TOKEN" = "$(cat /run/secrets/token)" ]
RUN --mount=type=secret,id=other [ ! -e /run/secrets/other ]
CMD ["cat", "/row"]
"""
    write(context, Dockerfile=text)
    held = (BuildSecret(id="token", content=SECRET.encode()),)
    digest = core.build(context, secrets=held)
    first, second = (line for line in core.output() if "to" in line and not line.startswith("total"))
    assert first.startswith("-r--------    1 0        0")
    assert second.startswith("-r--r-----    1 7        8")
    assert "etc/tok" not in layer_of(core, digest)
    assert "run" not in layer_of(core, digest)
    found = subprocess.run(
        ["grep", "-rl", SECRET, str(core.settings.state_root), str(core.settings.run_root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""
    # Its content is no part of the key; that it is asked for and not there is.
    core.build(context, secrets=(BuildSecret(id="token", content=b"other"),))
    assert core.ran() == []
    with pytest.raises(NotFoundError, match=r"Dockerfile:2: .*secret token is not given"):
        core.runtime.resolve(Image(name="lab/app", build=Build(context=str(context))))
    assert SECRET not in repr(Build(context="/", secrets=held)) + Build(context="/", secrets=held).model_dump_json()
    write(context, Dockerfile="FROM lab/base\nRUN --mount=type=secret,id=token cat /run/secrets/token; false\n")
    with pytest.raises(RuntimeFailureError) as caught:
        core.build(context, secrets=held)
    assert caught.value.output == "***"
    key = (BuildSecret(id="token", content=b"begin-of-key\nline-one\n  line-one-and-two\n"),)
    with pytest.raises(RuntimeFailureError) as caught:
        core.build(context, secrets=key)
    assert caught.value.output.split() == ["***"] * 3


def test_a_command_reaches_the_agent_that_is_given_to_it(core, context, tmp_path):
    path = tmp_path / "agent"
    server = socket.create_server(str(path), family=socket.AF_UNIX)
    text = "FROM lab/base\nRUN --mount=type=ssh,uid=1000 ls -ln $SSH_AUTH_SOCK > /row\n"
    write(context, Dockerfile=text)
    try:
        digest = core.build(context, ssh={"default": str(path)})
        assert core.output(command=("cat", "/row"))[0].startswith("srw-------    1 1000     0")
        assert layer_of(core, digest) == {"row"}
    finally:
        server.close()
    path.unlink()
    with pytest.raises(NotFoundError, match="no ssh agent default is given"):
        core.runtime.resolve(Image(name="lab/app", build=Build(context=str(context))))
    write(context, Dockerfile=text.replace("/row", "/again"))
    with pytest.raises(BayplanError, match="no ssh agent answers"):
        core.build(context, ssh={"default": str(path)})
    write(context, Dockerfile=text.replace("type=ssh", "type=ssh,required=false").replace("$SSH", "${SSH:-/bin}$SSH"))
    core.build(context)


def test_caches_start_from_a_stage_and_private_ones_are_not_shared(core, context):
    mount = "--mount=type=cache,id=k,target=/c,from=first,source=/seed,sharing=private,uid=5,mode=0711"
    first = "FROM lab/base AS first\nRUN mkdir /seed && echo 0 > /seed/zero\n"
    text = f"{first}FROM lab/base\nRUN {mount} ls -ldn /c > /o; cat /c/* >> /o; echo {{}} > /c/more\n"
    write(context, Dockerfile=text.format(1))
    core.build(context)
    assert core.output(command=("cat", "/o"))[0].startswith("drwx--x--x    2 5        0")
    assert core.output(command=("cat", "/o"))[1:] == ["0"]
    write(context, Dockerfile=text.format(2))
    core.build(context)
    assert core.output(command=("cat", "/o"))[1:] == ["1", "0"]
    # Held by somebody else, the next one is another cache, with the same first content.
    (place,) = (core.settings.state_root / "build-mounts").iterdir()
    with (place / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        write(context, Dockerfile=text.format(3))
        core.build(context)
    assert core.output(command=("cat", "/o"))[1:] == ["0"]


def test_caches_are_pruned_as_previewed(core, context, tmp_path):
    write(context, Dockerfile="FROM lab/base\nRUN --mount=type=cache,id=mine,target=/c echo 1 > /c/1; echo > /made\n")
    file = tmp_path / "compose.yaml"
    core.build(context)
    seen = core.command(file, "builder", "prune", "--dry-run", "--json")
    assert [(item["kind"], item["name"]) for item in seen] == [("cache", "mine")]
    assert core.command(file, "builder", "prune", "--json") == seen
    assert core.command(file, "builder", "prune", "--json") == []
    core.command(file, "builder", "prune", "--all")
    core.build(context, labels={"a": "b"})
    assert len(core.ran()) == 1


def test_the_command_and_compose_give_secrets(core, context, tmp_path):
    command = "cat /run/secrets/tok > /copied; echo $WHO > /who"
    text = f"FROM lab/base\nARG WHO\nRUN --mount=type=secret,id=tok,required {command}\n"
    write(context, Dockerfile=text)
    token = tmp_path / "token"
    token.write_text(SECRET)
    file = tmp_path / "compose.yaml"
    core.command(
        file, "build", "-t", "lab/app", "--secret", f"id=tok,src={token}", "--build-arg", "WHO=me", str(context)
    )
    assert core.output(command=("cat", "/copied", "/who")) == [SECRET + "me"]
    assert "there is no ssh agent" in core.command(
        file, "build", "-t", "a", "--ssh", "default", str(context), code=2
    ) or ("SSH_AUTH_SOCK" in os.environ)
    file.write_text(f"""
name: bpb
services:
  one: {{image: lab/two, network_mode: none, build: {{context: {context}, secrets: [{{source: t, target: tok}}]}}}}
secrets: {{t: {{file: ./token}}}}
""")
    assert SECRET not in core.command(file, "plan") + core.command(file, "apply")
    core.command(file, "destroy", "--images")


def test_mounts_show_nothing_of_the_host(core, context, tmp_path):
    """Attack row "Build": RUN mounts stay inside, whatever links are in the context, a stage or a cache's origin."""
    decoy = tmp_path / "decoy"
    decoy.mkdir()
    (decoy / "secret").write_text("of the host")
    up = "../" * 12
    (context / "absolute").symlink_to(decoy)
    (context / "relative").symlink_to(f"{up}{str(decoy)[1:]}")
    (context / "sub").mkdir()
    (context / "sub/inner").symlink_to(decoy / "secret")
    for source in ("absolute", "relative/secret", "sub/inner"):
        write(context, Dockerfile=f"FROM lab/base\nRUN --mount=type=bind,source={source},target=/x cat /x\n")
        with pytest.raises(NotFoundError, match="is not in the context"):
            core.build(context)
    # A link below what is mounted is one of the container's own file system.
    stage = (
        f"FROM lab/base AS a\nRUN mkdir /d; ln -s {decoy} /d/out; ln -s {up}{str(decoy)[1:]} /d/rel\nFROM lab/base\n"
    )
    lines = (
        "RUN --mount=type=bind,source=sub,target=/x ! cat /x/inner",
        "RUN --mount=type=bind,from=a,source=/d,target=/x,rw ! cat /x/out/secret && ! touch /x/out/new",
        "RUN --mount=type=cache,id=c,from=a,source=/d,target=/x ! cat /x/rel/secret && ! touch /x/rel/new",
        f"RUN mkdir -p {decoy} && ln -s {decoy} /way",
        "RUN --mount=type=tmpfs,target=/way/t touch /way/t/new",
        "RUN --mount=type=cache,id=d,target=/way/c touch /way/c/new",
    )
    write(context, Dockerfile=stage + "\n".join(lines) + "\n")
    core.build(context)
    for mount in ("bind,from=a,source=/d/out", "bind,from=a,source=/d/rel/secret", "cache,id=e,from=a,source=/d/out"):
        write(context, Dockerfile=stage + f"RUN --mount=type={mount},target=/x cat /x/secret\n")
        with pytest.raises(NotFoundError, match="in the stage or image it is from"):
            core.build(context)
    assert [path.name for path in decoy.iterdir()] == ["secret"]
    assert (decoy / "secret").read_text() == "of the host"
    assert core.left() == []


def test_an_empty_secret_is_one(core, context):
    command = "[ -f /run/secrets/t -a ! -s /run/secrets/t ]"
    write(context, Dockerfile=f"FROM lab/base\nRUN --mount=type=secret,id=t,required {command}\n")
    core.build(context, secrets=(BuildSecret(id="t", content=b""),))
