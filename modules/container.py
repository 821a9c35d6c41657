#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""Containers on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container
short_description: Containers on a host
description:
  - Make one container, or many in one plan, match their options; start, stop, pause or remove them.
  - Options have the names of C(docker run) in a Compose file, and those of community.docker.
  - Runs C(bayplan bridge) on the target, as root.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
extends_documentation_fragment:
  - bayplan.containers.container
  - bayplan.containers.engine
"""

EXAMPLES = r"""
- name: A web server
  bayplan.containers.container:
    name: web
    image: docker.io/library/nginx:1.27
    published_ports: ["127.0.0.1:8080:80"]
    env:
      TZ: Etc/UTC
    volumes: ["data:/data:ro"]
    restart_policy: always
    state: healthy
    healthcheck:
      test: curl -f http://127.0.0.1/

- name: Stop it
  bayplan.containers.container: {name: web, state: stopped}

- name: Many in one plan; options beside the list are what each has
  bayplan.containers.container:
    image: registry.example/worker:3
    memory: 256m
    containers:
      - name: worker1
      - name: worker2
        memory: 1g
      - {name: worker0, state: absent}

- name: One that runs once
  bayplan.containers.container:
    name: migrate
    image: registry.example/shop:3
    command: ./manage.py migrate
    detach: false
    cleanup: true
"""

RETURN = r"""
plan:
  description:
    - What was planned and, out of check mode, applied exactly as shown. Values that may be secret are masked.
    - RV(ignore:changed) is whether it has steps; when an apply failed, whether a step was done before.
  returned: when the declaration was understood
  type: dict
  contains:
    steps:
      description: One for each resource that is changed, in order; empty when the host matches.
      returned: always
      type: list
      elements: dict
      contains:
        resource:
          description: C(kind) and C(name).
          returned: always
          type: dict
        action:
          description: pull, build, create, update, heal, restart, re-create, start, stop or delete.
          returned: always
          type: str
        why:
          description: The reason in a sentence.
          returned: always
          type: str
        fields:
          description: What differs; C(path), C(before), C(after), C(why), and C(how) it is applied.
          returned: always
          type: list
          elements: dict
        risks:
          description: Downtime, loss of data, exposure.
          returned: always
          type: list
          elements: str
    unchanged:
      description: Resources that are as declared.
      returned: always
      type: list
      elements: dict
    kept:
      description: What was left alone on purpose, as sentences.
      returned: always
      type: list
      elements: str
result:
  description: Names of the resources whose steps are C(done), C(failed) and C(skipped); unset in check mode.
  returned: when the declaration was understood
  type: dict
where:
  description: File and line, resource or setting that is wrong.
  returned: failure
  type: str
hint:
  description: What to do next.
  returned: failure
  type: str
output:
  description: Last output of the program that failed.
  returned: failure
  type: str
container:
  description: A single container in the shape of C(docker inspect); values that may be secret are masked.
  returned: when one container was asked for
  type: dict
status:
  description: Exit code.
  returned: O(detach=false)
  type: int
"""

from ansible_collections.bayplan.containers.plugins.module_utils._bridge import Module, call
from ansible_collections.bayplan.containers.plugins.module_utils._specs import SPECS


def main() -> None:
    """Ask the bridge."""
    module = Module(
        argument_spec=SPECS["container"],
        required_one_of=[("name", "containers")],
        mutually_exclusive=[("name", "containers")],
    )
    call(module, "container")


if __name__ == "__main__":
    main()
