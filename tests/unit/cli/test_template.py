"""--format: what people write for docker inspect and docker ps, with what Docker prints."""

import pytest

from bayplan.cli.template import render
from bayplan.errors import DeclarationError

DATA = {
    "Name": "/web",
    "State": {"Status": "running", "Pid": 12, "Running": True, "Health": None},
    "Config": {"Env": ["A=1", "B=2"], "Labels": {"com.example.a": "x", "b": "y"}, "Cmd": []},
    "NetworkSettings": {
        "Networks": {"front": {"IPAddress": "10.0.0.2"}, "back": {"IPAddress": "10.1.0.2"}},
        "Ports": {"80/tcp": [{"HostPort": "8080"}], "81/tcp": []},
    },
}
NETWORKS = ".NetworkSettings.Networks"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{.Name}}", "/web"),
        ("{{ .State.Status }} {{.State.Pid}} {{.State.Running}} {{.State.Health}}", "running 12 true <no value>"),
        ("{{json .State}}", '{"Status":"running","Pid":12,"Running":true,"Health":null}'),
        ("{{.Config.Env | json}}", '["A=1","B=2"]'),
        ("{{.Config.Env}} {{.Config.Labels}}", "[A=1 B=2] map[b:y com.example.a:x]"),
        ('{{index .Config.Labels "com.example.a"}}{{index .Config.Labels "none"}}', "x"),
        ("{{range .Config.Env}}{{.}};{{end}}", "A=1;B=2;"),
        (f"{{{{range {NETWORKS}}}}}{{{{.IPAddress}}}} {{{{end}}}}", "10.1.0.2 10.0.0.2 "),
        (
            f"{{{{range $k, $v := {NETWORKS}}}}}{{{{$k}}}}={{{{$v.IPAddress}}}} {{{{end}}}}",
            "back=10.1.0.2 front=10.0.0.2 ",
        ),
        ('{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', "8080"),
        (
            "{{range $p, $c := .NetworkSettings.Ports}}{{if $c}}{{$p}}->{{(index $c 0).HostPort}}{{end}}{{end}}",
            "80/tcp->8080",
        ),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if .Config.Cmd}}some{{else}}none{{end}}", "none"),
        ("{{range .Config.Cmd}}x{{else}}nothing{{end}}", "nothing"),
        ('{{if eq .State.Status "running" "paused"}}yes{{end}}{{if not .State.Running}}no{{end}}', "yes"),
        ('{{join .Config.Env ","}} {{len .Config.Env}} {{upper .State.Status}}', "A=1,B=2 2 RUNNING"),
        ('{{printf "%s-%d" .Name .State.Pid}}{{println}}', "/web-12\n"),
        ("a {{- .Name -}} b", "a/webb"),
        (r"{{.Name}}\t{{.State.Pid}}", "/web\t12"),
        ("{{/* a comment */}}x", "x"),
        ("{{range .Config.Env}}{{$.Name}}{{end}}", "/web/web"),
        ("plain", "plain"),
    ],
)
def test_as_docker_prints_it(template, expected):
    assert render(template, DATA) == expected


@pytest.mark.parametrize(
    "template",
    [
        "{{.Nothing}}",
        "{{.Name.Deeper}}",
        "{{nosuch .Name}}",
        "{{range .Config.Env}}",
        "{{end}}",
        "{{.Name .Name}}",
        "{{index .Config.Env 7}}",
        "{{len 3}}",
        "{{$x}}",
        "{{(.Name}}",
        "{{.Name | nosuch}}",
        "{{!}}",
        "{{if .Name}}" * 60,
    ],
)
def test_what_it_does_not_understand_is_refused(template):
    with pytest.raises(DeclarationError, match="--format"):
        render(template, DATA)
