"""dev, staging and prod from one declaration: each Pulumi stack is one, and what may differ is written down."""

import pulumi
import pulumi_bayplan as bayplan

CHECK = ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1/"]
DECLARATION = {
    "services": {
        "web": {
            "image": "busybox:stable",
            "command": ["sh", "-c", "mkdir /www; echo $LEVEL > /www/index.html; exec httpd -f -p 80 -h /www"],
            "environment": {"LEVEL": "info"},
            "healthcheck": {"test": CHECK, "interval": "1s", "retries": 5},
            "deploy": {"replicas": 1, "update_config": {"order": "start-first"}},
            "stop_grace_period": "1s",
        }
    }
}
ENVIRONMENTS = {
    "dev": {"services": {"web": {"environment": {"LEVEL": "debug"}}}},
    "staging": {},
    "prod": {"services": {"web": {"deploy": {"replicas": 3}}}},
}
ALLOWED = {
    "services.*.deploy.replicas": "prod has the load",
    "services.web.environment.LEVEL": "debug where it is debugged",
}

shop = bayplan.Environment("shop", definition=DECLARATION, environments=ENVIRONMENTS, allow=ALLOWED)

pulumi.export("containers", shop.services.apply(lambda found: [one.name for one in found["web"].containers]))
pulumi.export("differences", [f"{one.environment}: {one.place}" for one in shop.differences])
