"""What COPY and ADD can be told: --link, --chmod, --parents, --exclude, on the real core."""

import os

import pytest

from bayplan.errors import DeclarationError, NotFoundError, RuntimeFailureError, UnsupportedError
from builds import write

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def layer(core, digest, number=-1):
    stored = core.runtime.images.store.get(digest)
    core.runtime.images.rootfs("lab/app", digest)
    return core.runtime.images.layers.path(stored.chain_ids[number])


def below(top):
    return sorted(str(path.relative_to(top)) for path in top.rglob("*"))


def test_a_linked_layer_does_not_depend_on_what_is_below(core, context):
    text = "FROM lab/base\nRUN echo {0} > /below\nCOPY --link --chown=7:8 a /srv/x/\n"
    text += "COPY --link --from=lab/base /etc/old /o/\n"
    write(context, Dockerfile=text.format(1), a="a\n")
    first = core.build(context)
    assert below(layer(core, first, -2)) == ["srv", "srv/x", "srv/x/a"]
    assert core.output(command=("ls", "-ln", "/srv/x/a"))[0].startswith("-rw-r--r--    1 7        8 ")
    write(context, Dockerfile=text.format(2))
    second = core.build(context)
    assert [step.split()[2] for step in core.ran()] == ["RUN"]
    assert first != second
    assert core.output(command=("cat", "/below", "/srv/x/a", "/o/old")) == ["2", "a", "old"]
    # Nothing of the directory below is hidden by one in the layer.
    write(context, Dockerfile="FROM lab/base\nRUN mkdir /d && echo 1 > /d/1\nCOPY --link a /d/\n")
    core.build(context)
    assert core.output(command=("ls", "/d")) == ["1", "a"]
    # A name of a user is looked up below, and so depends on it.
    named = "FROM lab/base\nRUN echo {0} > /below\nCOPY --link --chown=app a /srv/\n"
    write(context, Dockerfile=named.format(3))
    core.build(context)
    write(context, Dockerfile=named.format(4))
    core.build(context)
    assert [step.split()[2] for step in core.ran()] == ["RUN", "COPY"]
    assert " 1000 " in core.output(command=("ls", "-ln", "/srv/a"))[0]


def test_linked_layers_follow_no_link_below(core, context):
    """Attack row "Build": the destination of a copy is a link."""
    write(context, Dockerfile="FROM lab/base\nRUN ln -s /etc /conf\nCOPY --link a /conf/a\n", a="a\n")
    core.build(context)
    assert core.output(command=("ls", "/conf")) == ["a"]


def test_symbolic_modes(core, context):
    write(context, Dockerfile="FROM lab/base\nARG M=u=rwX,go=\nCOPY --chmod=$M d /d\n", d__f="f", d__run="r")
    (context / "d/run").chmod(0o755)
    (context / "d/f").chmod(0o664)
    core.build(context)
    said = {line.split()[-1]: line.split()[0] for line in core.output(command=("ls", "-la", "/d"))[1:]}
    assert (said["."], said["f"], said["run"]) == ("drwx------", "-rw-------", "-rwx------")


FILES = {"x/y/1.txt": "1", "x/y/2.log": "2", "x/z/3.txt": "3", "x/4.txt": "4", "w/5.txt": "5"}


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("COPY --parents x/y/1.txt /d/", ["x", "x/y", "x/y/1.txt"]),
        ("COPY --parents x/./y/1.txt /d", ["y", "y/1.txt"]),
        ("COPY --parents ./x/y/1.txt w /d/", ["w", "w/5.txt", "x", "x/y", "x/y/1.txt"]),
        ("COPY --parents x/*/*.txt /d/", ["x", "x/y", "x/y/1.txt", "x/z", "x/z/3.txt"]),
        ("COPY --parents ./x/./**/*.txt /d/", ["4.txt", "y", "y/1.txt", "z", "z/3.txt"]),
        ("COPY --exclude=*.log --exclude=z x /d", ["4.txt", "y", "y/1.txt", "y/2.log"]),
        ("COPY --exclude=**/*.log --exclude=z x /d", ["4.txt", "y", "y/1.txt"]),
        ("COPY --exclude=4.txt x/*.txt w/*.txt /d/", ["5.txt"]),
        (
            "COPY --parents --exclude=x/y --exclude=!x/y/1.txt x /d/",
            ["x", "x/4.txt", "x/y", "x/y/1.txt", "x/z", "x/z/3.txt"],
        ),
        ("ADD --exclude=z x /d", ["4.txt", "y", "y/1.txt", "y/2.log"]),
    ],
)
def test_parents_and_excludes_of_the_context_and_of_a_stage(core, context, line, wanted):
    for name, text in FILES.items():
        write(context, **{name.replace("/", "__"): text})
    write(context, Dockerfile=f"FROM scratch\n{line}\n")
    assert below(layer(core, core.build(context)) / "d") == wanted
    if line.startswith("COPY"):
        stage = f"FROM scratch AS one\nCOPY . /\nFROM scratch\n{line.replace('COPY', 'COPY --from=one')}\n"
        write(context, Dockerfile=stage)
        assert below(layer(core, core.build(context)) / "d") == wanted


def test_sources_stay_in_the_context(core, context, tmp_path):
    """Attack row "Build": COPY sources are contained, whatever links are in the context or the stage."""
    (tmp_path / "secret").write_text("secret")
    (context / "out").symlink_to("..")
    (context / "up").symlink_to(tmp_path / "secret")
    (context / "in").symlink_to("d")
    write(context, d__f="f")
    for source in ("out/secret", "up", "../secret", "d/../../secret", f"{tmp_path}/secret"):
        for flags in ("", "--parents ", "--link "):
            write(context, Dockerfile=f"FROM lab/base\nCOPY {flags}{source} /x/\n")
            with pytest.raises((NotFoundError, DeclarationError)):
                core.build(context)
    write(context, Dockerfile="FROM scratch\nCOPY --parents in/f /x/\n")
    assert below(layer(core, core.build(context))) == ["x", "x/in", "x/in/f"]
    # Of a stage: its links lead around in itself.
    write(
        context, Dockerfile=f"FROM lab/base AS a\nRUN ln -s {tmp_path} /t\nFROM lab/base\nCOPY --from=a /t/secret /x\n"
    )
    with pytest.raises(RuntimeFailureError, match="is not in stage 0"):
        core.build(context)
    assert core.left() == []


def test_destinations_stay_in_the_image(core, context, tmp_path):
    """Attack row "Build": WORKDIR and the destination of COPY and ADD through links that lead outside."""
    decoy = tmp_path / "decoy"
    decoy.mkdir()
    write(context, a="a\n", d__f="f\n")
    head = f"FROM lab/base\nRUN mkdir -p {decoy} /in; ln -s {decoy} /out; ln -s ../../../../..{decoy} /rel\n"
    lines = "WORKDIR /out/w\nCOPY a /out/\nCOPY d /rel/d\nADD a /out/b\nRUN echo x > /out/run\n"
    write(context, Dockerfile=head + lines)
    core.build(context)
    assert list(decoy.iterdir()) == []
    assert core.output(command=("ls", str(decoy))) == ["a", "b", "d", "run", "w"]
    # A link that leads to nothing in the image is not made to lead anywhere.
    write(context, Dockerfile=f"FROM lab/base\nRUN ln -s {decoy} /out\nCOPY a /out/\n")
    with pytest.raises(RuntimeFailureError, match="leads nowhere in the image"):
        core.build(context)
    write(context, Dockerfile=f"FROM lab/base\nRUN ln -s {decoy} /out\nCOPY --chmod=777 a /out\n")
    core.build(context)
    assert core.output(command=("cat", "/out")) == ["a"]
    assert list(decoy.iterdir()) == []


def test_what_is_ignored_does_not_exist(core, context):
    """Attack row "Build": .dockerignore holds for COPY, ADD, --parents and links that lead to what it leaves out."""
    write(context, secret__key="k", open__f="f", **{".dockerignore": "secret\n"})
    (context / "open/link").symlink_to("../secret/key")
    (context / "way").symlink_to("secret")
    for source in ("secret", "secret/key", "open/link", "way/key", "way", "s*"):
        for flags in ("COPY", "COPY --parents", "ADD", "RUN --mount=type=bind,target=/m,source="):
            line = f"{flags}{source} ls /m" if flags.startswith("RUN") else f"{flags} {source} /x/"
            write(context, Dockerfile=f"FROM lab/base\n{line}\n")
            with pytest.raises((NotFoundError, DeclarationError)):
                core.build(context)


def test_a_way_that_cannot_be_gone_is_told_with_its_line(core, context):
    write(context, Dockerfile="FROM lab/base\nRUN ln -s loop /loop\nCOPY file /loop/there\n", file="1")
    with pytest.raises(RuntimeFailureError, match=r"Dockerfile:3: COPY file /loop/there: .*symbolic links"):
        core.build(context)


def test_directories_without_end_are_refused(core, context):
    make = "while [ $i -lt 1500 ]; do mkdir d && cd d || exit 1; i=$((i + 1)); done"
    write(context, Dockerfile=f"FROM lab/base\nRUN i=0; {make}\n")
    with pytest.raises(UnsupportedError, match=r"Dockerfile:2: /d/.* more than 300 directories deep"):
        core.build(context)


def test_a_working_directory_belongs_to_the_user_of_the_moment(core, context):
    """As BuildKit makes it: a USER can write into the WORKDIR that follows it, and what was there stays as it was."""
    text = """\
FROM lab/base
WORKDIR /roots
USER app
WORKDIR /home/app/deep
RUN touch made
WORKDIR /roots
USER 7:8
WORKDIR /seven
USER nobody-here
WORKDIR /none
USER root
RUN ls -ldn /roots /home /home/app/deep /home/app/deep/made /seven /none > /rows
CMD ["cat", "/rows"]
"""
    write(context, Dockerfile=text)
    core.build(context)
    found = {line.split()[-1]: tuple(line.split()[2:4]) for line in core.output()}
    app = ("1000", "1000")
    deep = {"/home": app, "/home/app/deep": app, "/home/app/deep/made": app}
    assert found == {"/roots": ("0", "0"), "/seven": ("7", "8"), "/none": ("0", "0"), **deep}
