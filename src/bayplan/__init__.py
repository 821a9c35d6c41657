"""Bayplan: images, containers, networks and volumes declared once, and hosts made to match.

The rooms, from the top down; a room imports only from those below it:

    cli                 the command: parse, call ``app``, render
    pulumi              the provider of the Pulumi package, over the bridge of each host
    bridge              one JSON request for the Ansible modules, over ``app``
    app                 the verbs, each a few lines over the rooms below; in modules of their own those of generations,
                        environments, bundles, adoption, pruning, repair and drawings
    engines             settings, and which engine runs a project
    load                text (Compose files) to models
    reconcile           observe, diff, plan, apply
    record              generations and the journal of applies
    runtime             what a host can do: ``protocol``, and the engines behind it: ``native``, ``docker`` and
                        ``podman`` on ``engine_api``, ``swarm``, ``fake``
    registry            the OCI distribution client
    system              the only room with syscalls, mounts, netlink sockets and subprocesses
    models              desired state: frozen pydantic models, no I/O
    errors              the tree of errors
    values              frozen values whose classes are made quickly
"""

__version__ = "0.1.0"
