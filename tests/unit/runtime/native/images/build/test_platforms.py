import pytest

from bayplan.runtime.native.images.build import platforms

ARM64 = "7f454c460201010000000000000000000200b700"
S390X = "7f454c4602020100000000000000000000020016"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("arm64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm/v7", "linux/arm"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("armhf", "linux/arm"),
        ("Linux/x86_64", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
    ],
)
def test_a_platform_has_one_form(text, wanted):
    assert platforms.parse(text) == wanted


@pytest.mark.parametrize("text", ["", "windows/amd64", "linux/", "linux/arm64/8", "a/b/c/d"])
def test_other_forms_are_refused(text):
    with pytest.raises(ValueError, match="not of the form"):
        platforms.parse(text)


def test_images_of_a_platform_suit_it():
    assert platforms.suits({"architecture": "arm64", "variant": "v8"}, "linux/arm64")
    assert platforms.suits({"architecture": "arm", "variant": "v6"}, "linux/arm")
    assert not platforms.suits({"architecture": "arm"}, "linux/arm/v6")
    assert not platforms.suits({"architecture": "amd64"}, "linux/arm64")


def test_an_interpreter_must_be_enabled_and_open_already(tmp_path, monkeypatch):
    monkeypatch.setattr(platforms, "host_architecture", lambda: "amd64")
    assert platforms.runs_here("linux/amd64", tmp_path)
    assert platforms.runs_here("linux/386", tmp_path)
    assert "is not mounted" in platforms.obstacle("linux/arm64", tmp_path)

    def handler(magic, flags, state="enabled"):
        text = f"{state}\ninterpreter /usr/bin/qemu\nflags: {flags}\noffset 0\nmagic {magic}\nmask ffff\n"
        (tmp_path / "qemu").write_text(text)
        return [name for name in ("arm64", "s390x") if platforms.runs_here(f"linux/{name}", tmp_path)]

    (tmp_path / "status").write_text("enabled\n")
    assert handler(ARM64, "OCF") == ["arm64"]
    assert handler(S390X, "F") == ["s390x"]
    assert handler(ARM64, "OC") == []
    assert "/usr/bin/qemu is registered in binfmt_misc without flag F" in platforms.obstacle("linux/arm64", tmp_path)
    assert handler(ARM64, "F", "disabled") == []
    assert "its interpreter in binfmt_misc is switched off" in platforms.obstacle("linux/arm64", tmp_path)
    assert handler("4d5a", "F") == []
    handler(ARM64, "F")
    (tmp_path / "status").write_text("disabled\n")
    assert "binfmt_misc is switched off" in platforms.obstacle("linux/arm64", tmp_path)


def test_arguments_say_what_is_built_where(monkeypatch):
    monkeypatch.setattr(platforms, "host_architecture", lambda: "amd64")
    found = platforms.arguments("linux/arm/v6")
    assert (found["BUILDPLATFORM"], found["TARGETPLATFORM"]) == ("linux/amd64", "linux/arm/v6")
    assert (found["TARGETOS"], found["TARGETARCH"], found["TARGETVARIANT"]) == ("linux", "arm", "v6")
