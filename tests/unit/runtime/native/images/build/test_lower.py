import hashlib
import json

import pytest

from bayplan.errors import (
    CorruptStateError,
    DeclarationError,
    NotFoundError,
    RuntimeFailureError,
    UnsupportedError,
)
from bayplan.models import Build, ImageReference
from bayplan.runtime.native.images.build.bases import Bases
from bayplan.runtime.native.images.build.lower import recipe
from bayplan.runtime.native.images.build.steps import Copy, Run
from bayplan.runtime.native.images.store import ImageStore


@pytest.fixture
def store(tmp_path):
    made = ImageStore(tmp_path / "images")
    add(made, "base", {"Env": ["PATH=/bin", "HOME=/h"], "Cmd": ["sh"], "WorkingDir": "/w"})
    add(made, "triggers", {"OnBuild": ["RUN x"]})
    return made


def add(store, name, config):
    def put(value):
        data = json.dumps(value).encode()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        store.write(digest, [data])
        return {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(data)}

    document = {"architecture": "amd64", "os": "linux", "config": config, "rootfs": {"type": "layers", "diff_ids": []}}
    digest = put({"schemaVersion": 2, "config": put(document), "layers": []})["digest"]
    store.tag(ImageReference.parse(name), digest)


class Nowhere:
    def select(self, ref, platform=None):
        raise NotFoundError(f"image {ref} does not exist")


@pytest.fixture
def lower(store, tmp_path):
    context = tmp_path / "context"
    context.mkdir()
    (context / "file").write_text("x")
    (context / "page.tar").write_bytes(b"\0" * 257 + b"ustar" + b"\0" * 250)

    def call(text, **fields):
        build = Build(context=str(context), dockerfile_inline=text, **fields)
        return recipe(build, Bases(store, Nowhere, newest=False))

    return call


def config(lower, text, **fields):
    return lower(f"FROM base\n{text}\n", **fields).target.config


def test_configuration(lower):
    text = """\
ENV A=1 B="$A 2"
ENV C $A and $PATH
LABEL x=y "z z"='$A'
EXPOSE 80 443/udp 8000-8001
VOLUME /data ["/not json"
VOLUME ["/a b"]
USER $A:$A
WORKDIR sub
WORKDIR $A
STOPSIGNAL SIGQUIT
SHELL ["/bin/bash", "-c"]
HEALTHCHECK --interval=5s --retries=2 CMD ["true"]
CMD run $A
"""
    found = config(lower, text.replace(' ["/not json"', ""))
    assert found["Env"] == ["PATH=/bin", "HOME=/h", "A=1", "B= 2", "C=1 and /bin"]
    assert found["Labels"] == {"x": "y", "z z": "$A"}
    assert set(found["ExposedPorts"]) == {"80/tcp", "443/udp", "8000/tcp", "8001/tcp"}
    assert set(found["Volumes"]) == {"/data", "/a b"}
    assert (found["User"], found["WorkingDir"], found["StopSignal"]) == ("1:1", "/w/sub/1", "SIGQUIT")
    assert found["Healthcheck"] == {"Test": ["CMD", "true"], "Interval": 5 * 10**9, "Retries": 2}
    assert found["Cmd"] == ["/bin/bash", "-c", "run $A"]


def test_an_entrypoint_drops_the_bases_command_but_not_its_own(lower):
    assert "Cmd" not in config(lower, 'ENTRYPOINT ["x"]')
    assert config(lower, 'CMD ["a"]\nENTRYPOINT ["x"]')["Cmd"] == ["a"]


def test_arguments_reach_commands_but_neither_the_image_nor_other_stages(lower):
    text = """\
ARG OUTER=o
FROM base AS one
ARG OUTER
ARG GIVEN=default
ARG TARGETOS
ENV HOME=/env
ARG HOME=/arg
RUN x
FROM base
RUN x
"""
    found = lower(text + "COPY --from=one /x /y\n", args={"GIVEN": "g", "http_proxy": "http://p"})
    first, second = (next(step for step in stage.steps if isinstance(step, Run)) for stage in found.stages)
    wanted = {"OUTER=o", "GIVEN=g", "TARGETOS=linux", "HOME=/env", "PATH=/bin"}
    assert set(first.environment) == wanted
    assert set(second.environment) == {"PATH=/bin", "HOME=/h"}
    assert first.hidden == ("http_proxy=http://p",)
    assert found.stages[0].config["Env"] == ["PATH=/bin", "HOME=/env"]


def test_copy_targets(lower):
    def target(text):
        (step,) = (item for item in lower(f"FROM base\n{text}\n").target.steps if isinstance(item, Copy))
        return step.target, step.into

    assert target("COPY file x") == ("/w/x", False)
    assert target("COPY file .") == ("/w", True)
    assert target("COPY file page.tar /x/") == ("/x", True)
    assert target('COPY ["file", "/a b"]') == ("/a b", False)


def test_only_what_the_target_needs_is_read(lower):
    text = "FROM nowhere AS lonely\nFROM base AS one\nFROM base AS Two\nCOPY --from=one /x /y\nFROM two\n"
    assert [stage.index for stage in lower(text).stages] == [1, 2, 3]
    assert [stage.index for stage in lower(text, target="TWO").stages] == [1, 2]
    assert [stage.index for stage in lower(text, target="1").stages] == [1]


def test_what_a_base_keeps_is_done_first_and_once(lower):
    found = lower("FROM triggers\nRUN y\n")
    assert [str(step.instruction) for step in found.target.steps] == ["RUN x", "RUN y"]
    assert "OnBuild" not in found.target.config
    text = "FROM base AS one\nONBUILD COPY --from=tools /a /b\nONBUILD RUN <<E\n z\nE\n"
    text += "FROM base AS tools\nFROM one\nRUN y\n"
    assert lower(text, target="one").target.config["OnBuild"] == ["COPY --from=tools /a /b", "RUN <<E\n z\nE"]
    found = lower(text)
    assert [stage.index for stage in found.stages] == [0, 1, 2]
    assert [step.instruction.name for step in found.target.steps] == ["COPY", "RUN", "RUN"]
    assert "OnBuild" not in found.target.config


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("FROM base\nCOPY file page.tar /x\n", DeclarationError, "inline:2: COPY: with several sources"),
        ("FROM base\nCOPY * /x\n", DeclarationError, r"matches 2 files \(write /x/\)"),
        ("FROM base\nCOPY file\n", DeclarationError, "needs a source and a destination"),
        ("FROM base\nCOPY no* /x/\n", NotFoundError, r"inline:2: COPY: no\* is not in the context"),
        ("FROM base\nADD https://a:b@x.example/y.git /\n", DeclarationError, "GIT_AUTH_TOKEN"),
        ("FROM base\nADD git@x.example:y#-x /\n", DeclarationError, "'-x' is no branch, tag or commit"),
        ("FROM base\nADD --checksum=zz git@x.example:y /\n", DeclarationError, "is no commit"),
        (
            "FROM base\nADD --keep-git-dir=true git@x.example:y /\n",
            DeclarationError,
            "--keep-git-dir: a repository's own",
        ),
        ("FROM base\nADD https://a:b@x.example/y /\n", DeclarationError, "user or password would be kept"),
        ("FROM base\nADD https:///y /\n", DeclarationError, "is no URL"),
        ("FROM base\nADD https://x.example/ /d/\n", DeclarationError, "names no file"),
        ("FROM base\nADD --checksum=md5:1 https://x.example/y /\n", DeclarationError, "is no sha256 digest"),
        ("FROM base\nADD --checksum=sha256:" + "0" * 64 + " file /\n", DeclarationError, "is for one URL"),
        ("FROM base\nADD --unpack=x file /\n", DeclarationError, "neither true nor false"),
        ("FROM base\nCOPY --chmod=u+y file /\n", DeclarationError, "inline:2: COPY: --chmod=u\\+y is neither octal"),
        ("FROM base\nCOPY --link=x file /\n", DeclarationError, "--link=x is neither true nor false"),
        ("FROM base\nCOPY --exclude=[x file /\n", DeclarationError, "a ] is missing"),
        ("FROM base\nCOPY --parents ../x /\n", DeclarationError, "leads out of the context"),
        ("FROM base\nCOPY --from=0 /a /b\n", DeclarationError, "no stage 0 before this one"),
        ("FROM nowhere\n", NotFoundError, "inline:1: base image: image docker.io/library/nowhere"),
        ("FROM base\nCOPY --from=nowhere /a /b\n", NotFoundError, "inline:2: base image"),
        ("FROM Base\n", DeclarationError, "inline:1: image 'Base'"),
        ("FROM --platform=linux/s390x base\n", NotFoundError, "inline:1: base image"),
        ("FROM --platform=windows/amd64 base\n", DeclarationError, "'windows/amd64' is not of the form"),
        (
            "FROM --platform=linux/s390x scratch\nRUN x\n",
            UnsupportedError,
            "inline:2: RUN: a stage for linux/s390x cannot",
        ),
        (
            "FROM base\nRUN --security=insecure x\n",
            UnsupportedError,
            "--security=insecure is not allowed .*--allow security",
        ),
        ("FROM base\nRUN --security=x x\n", DeclarationError, "is sandbox or insecure"),
        ("FROM base\nRUN --mount=type=secret,id=x,required a\n", NotFoundError, "inline:2: RUN: secret x is not given"),
        ("FROM base\nRUN --network=host a\n", UnsupportedError, "--network=host is not allowed .*--allow network.host"),
        ("FROM base\nRUN --network=x a\n", DeclarationError, "is none, default or host"),
        ("FROM base\nRUN --mount=type=cache,target=../.. a\n", DeclarationError, "a path other than /"),
        ("FROM base\nRUN --mount=type=cache,target=/proc/x a\n", DeclarationError, "not in /proc or /sys"),
        ("FROM base\nRUN --mount=type=tmpfs,target=/x,id=a a\n", DeclarationError, "tmpfs has size, target"),
        ("FROM base\nEXPOSE x\n", DeclarationError, "inline:2: EXPOSE: 'x' is no port"),
        ("FROM base\nENV A\n", DeclarationError, "inline:2: ENV: 'A' has no value"),
        ("FROM base\nSTOPSIGNAL NOPE\n", DeclarationError, "unknown signal"),
        ("FROM base\nHEALTHCHECK --interval=5 CMD x\n", DeclarationError, "not a duration"),
        ("FROM base\nSHELL bash\n", DeclarationError, "list in JSON"),
        ("FROM base\nWORKDIR ${A\n", DeclarationError, "inline:2: WORKDIR"),
    ],
)
def test_refusals_name_the_line(lower, text, error, says):
    with pytest.raises(error, match=says) as caught:
        lower(text)
    assert caught.value.exit_code == 2


def test_the_fingerprint_says_what_changed(lower, store, tmp_path):
    text = "FROM base\nCOPY file /x\n"
    first = lower(text).fingerprint
    assert lower("# words\n" + text.replace("COPY", "copy")).fingerprint == first
    assert lower(text + "ENV A=b\n").fingerprint.why(str(first)) == "the Dockerfile or its arguments changed"
    assert lower(text, labels={"a": "b"}).fingerprint != first
    (tmp_path / "context/file").write_text("y")
    assert lower(text).fingerprint.why(str(first)) == "the context changed"
    add(store, "base", {})
    assert lower(text).fingerprint.why(str(first)) == "the context and a base image changed"
    assert "was not built from this" in first.why("")


@pytest.mark.parametrize(
    "wrong",
    [
        *("text", ["list"], {"Env": 5}, {"Env": [5]}, {"OnBuild": 5}, {"OnBuild": [5]}, {"Labels": ["a"]}),
        *({"Shell": "x"}, {"Volumes": "/v"}, {"ExposedPorts": ["80"]}, {"WorkingDir": 5}, {"User": 5}),
    ],
)
def test_a_base_that_says_nonsense_of_itself_is_refused(lower, store, wrong):
    """Images are a stranger's; whatever an instruction goes on from has its type."""
    add(store, "odd", wrong)
    text = "FROM odd\nENV A=1\nLABEL a=b\nEXPOSE 1\nVOLUME /x\nWORKDIR d\nCMD x\nRUN x\n"
    with pytest.raises(CorruptStateError, match=r":1: base image: image .*odd.* is malformed"):
        lower(text)


def test_a_list_nested_without_end_is_no_exec_form(lower):
    assert config(lower, "CMD " + "[" * 100_000)["Cmd"][2].startswith("[[[")


@pytest.mark.parametrize("owner", ["4294967295", "7:99999999999"])
def test_an_owner_that_is_none_is_refused(lower, owner):
    with pytest.raises(DeclarationError, match=r":2: .*is no number of a user or group"):
        lower(f"FROM base\nCOPY --chown={owner} file /x\n")


def test_what_cannot_be_looked_at_is_told_with_its_line(lower):
    with pytest.raises(RuntimeFailureError, match=r":2: COPY n+ /x: .*too long"):
        lower(f"FROM base\nCOPY {'n' * 300} /x\n")


@pytest.mark.parametrize("source", ["deep", "deep/**"])
def test_directories_without_end_are_refused(lower, tmp_path, source):
    (tmp_path / "context/deep" / "/".join("d" * 320)).mkdir(parents=True)
    with pytest.raises(UnsupportedError, match=r":2: /deep/d/.* more than 300 directories deep"):
        lower(f"FROM base\nCOPY {source} /x\n")


@pytest.mark.parametrize("text", ["\u00b2", "9" * 12, "9" * 5000, "-1"])
def test_a_time_that_is_none_is_refused(lower, text):
    """``\u00b2`` is a digit to Python, and no number."""
    with pytest.raises(DeclarationError, match="is no number of seconds"):
        lower(f"ARG SOURCE_DATE_EPOCH={text}\nFROM base\n")
    with pytest.raises(DeclarationError, match="there is no stage"):
        lower("FROM base\n", target=text[:20])
