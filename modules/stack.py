#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""All that a Compose file declares, on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack
short_description: All that a Compose file declares, on a host
description:
  - Make a host match a Compose file, in one task, or remove a project.
  - One that fails on the way is taken back to what was before; C(result.rolled_back) says to what.
  - Runs C(bayplan bridge) on the target, as root.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
extends_documentation_fragment:
  - bayplan.containers.stack
  - bayplan.containers.engine
"""

EXAMPLES = r"""
- name: A project from a directory of the target
  bayplan.containers.stack:
    project_src: /srv/shop
    env:
      TAG: "2.1"

- name: A project from a directory where Ansible runs; only what changed is sent
  bayplan.containers.stack:
    project_src: files/shop
    remote_src: false

- name: One service of it, with three replicas, until it is healthy
  bayplan.containers.stack:
    project_src: /srv/shop
    services: [web]
    scale: {web: 3}
    wait: true

- name: What its registries have now, and every container made anew
  bayplan.containers.stack:
    project_src: /srv/shop
    pull: always
    recreate: always

- name: Remove it, keep its volumes
  bayplan.containers.stack:
    project_src: /srv/shop
    state: absent
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
"""

from ansible_collections.bayplan.containers.plugins.module_utils._bridge import Module, ask, given
from ansible_collections.bayplan.containers.plugins.module_utils._specs import SPECS

SOURCE = ("project_src", "remote_src", "files", "definition", "project_name", "env", "env_files", "profiles", "scale")
HOW = ("services", "purge", "wait", "wait_timeout", "on_failure", "pull", "build", "recreate", "state")


def main() -> None:
    """Ask the bridge."""
    module = Module(argument_spec=SPECS["stack"], mutually_exclusive=[("files", "definition")])
    source = {name: module.params[name] for name in SOURCE if module.params[name] is not None}
    if module.params["state"] != "absent":
        how = given({name: module.params[name] for name in HOW})
        ask(module, {"verb": "apply", "stack": {**source, "locked": module.params["locked"]}, "options": how})
    removal = {"volumes": module.params["remove_volumes"], "images": module.params["remove_images"]}
    ask(module, {"verb": "destroy", "stack": source, "options": removal})


if __name__ == "__main__":
    main()
