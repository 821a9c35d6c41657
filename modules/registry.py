#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""A registry of images, run as declared."""

from __future__ import annotations

DOCUMENTATION = r"""
module: registry
short_description: A registry of images, run as declared
description:
  - Run a CNCF Distribution registry as a container of its own project, and wait until it answers; or remove it.
  - It comes from the program that the target's distribution packages, without an image to pull, or from an image.
  - Another configuration, certificate or user makes the container anew; what it holds stays.
  - Its root file system is read-only, and it has no capability.
  - Runs C(bayplan bridge) on the target, as root.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
  - the program (Debian package docker-registry) or an image of it
extends_documentation_fragment:
  - bayplan.containers.registry
  - bayplan.containers.engine
"""

EXAMPLES = r"""
- name: A registry of this host, for itself
  bayplan.containers.registry:

- name: One for the network, with users and a certificate
  bayplan.containers.registry:
    address: 0.0.0.0
    port: 443
    storage: /srv/registry
    tls_certificate: /etc/ssl/registry.crt
    tls_key: /etc/ssl/private/registry.key
    users:
      deploy: "{{ vault_registry_deploy }}"

- name: A cache of Docker Hub beside it
  bayplan.containers.registry:
    name: hub
    port: 5001
    mirror:
      url: https://registry-1.docker.io

- name: Gone, and what it held
  bayplan.containers.registry:
    state: absent
    remove_storage: true
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
registry:
  description: Address and port, the first part of the names of its images.
  returned: O(state=present)
  type: str
url:
  description: The same with its scheme.
  returned: O(state=present)
  type: str
container:
  description: Its container as C(docker inspect) shows one; null when there is none.
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

from ansible_collections.bayplan.containers.plugins.module_utils._bridge import Module, call
from ansible_collections.bayplan.containers.plugins.module_utils._specs import SPECS


def main() -> None:
    """Ask the bridge."""
    module = Module(
        argument_spec=SPECS["registry"],
        mutually_exclusive=[("users", "htpasswd"), ("image", "program")],
        required_together=[("tls_certificate", "tls_key")],
        required_by={"tls_client_ca": "tls_certificate"},
    )
    call(module, "registry")


if __name__ == "__main__":
    main()
