"""A web server with its data, on one host: this one, or the one that `pulumi config set bayplan:host` names."""

import pulumi
import pulumi_bayplan as bayplan

config = pulumi.Config()
port = config.get_int("port") or 8080

image = bayplan.Image("web", name="busybox:stable")
network = bayplan.Network("front")
# Its data would go with it: opts=pulumi.ResourceOptions(retain_on_delete=True) keeps it.
data = bayplan.Volume("data")
token = bayplan.Secret("token", content=config.require_secret("token"))
page = bayplan.Config("page", content=f"<h1>{config.get('greeting') or 'Hello'} from {pulumi.get_stack()}</h1>\n")

web = bayplan.Container(
    "web",
    image=image.reference,  # with its digest, so that another image is another container
    command=["httpd", "-f", "-p", "80", "-h", "/www"],
    networks=[{"network": network.name, "aliases": ["www"]}],
    mounts=[{"type": "volume", "source": data.name, "target": "/www/data"}],
    secrets=[{"source": token.name, "mode": 0o400}],
    configs=[{"source": page.name, "target": "/www/index.html"}],
    ports=[{"target": 80, "published": port}],
    restart={"condition": "always"},
    healthcheck={"test": ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1/"], "interval": "1s", "retries": 5},
    wait="healthy",
    stop_grace_period="1s",
)

pulumi.export("name", web.name)
pulumi.export("url", web.bound_ports.apply(lambda ports: f"http://127.0.0.1:{ports[0].published}/"))
