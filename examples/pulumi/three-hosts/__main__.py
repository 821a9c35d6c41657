"""The same service on each of several hosts, reached by SSH: a provider is one host."""

import pulumi
import pulumi_bayplan as bayplan

hosts = pulumi.Config().require_object("hosts")

for name, given in hosts.items():
    published = given.pop("published", 8080)
    provider = bayplan.Provider(name, **given)
    on_host = pulumi.InvokeOptions(provider=provider)
    service = bayplan.WebService(
        f"web-{name}",
        image="busybox:stable",
        command=["sh", "-c", f"mkdir /www; echo {name} > /www/index.html; exec httpd -f -p 80 -h /www"],
        port=80,
        published=published,
        replicas=2,
        health={"test": ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1/"], "interval": "1s", "retries": 5},
        stop_grace_period="1s",
        opts=pulumi.ResourceOptions(provider=provider),
    )
    first = service.containers.apply(lambda found: found[0].name)
    pulumi.export(name, {"url": service.url, "state": bayplan.get_container_output(name=first, opts=on_host).state})
