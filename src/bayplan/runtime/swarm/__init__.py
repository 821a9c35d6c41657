"""A swarm of Docker engines, asked through one of its managers.

    cluster     what the swarm has, by kind: lists, names and ids
    spec/       table of a service's fields: how each is written into its specification, and read back
    services    services observed, made, changed, taken back, removed
    tasks       waiting until a service's tasks run, and the reasons when they do not
    kept        secrets and configs
    networks    overlay networks
    nodes       init, join, role, availability, labels, leave
    checks      what is refused before any change
    runtime     all of it behind the runtime protocol

Which node runs a task is the swarm's to say; nothing here schedules.
"""
