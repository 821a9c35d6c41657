# Copyright: the Bayplan contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers as hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: containers
short_description: Containers as hosts
description:
  - The containers of the native core, of Docker or of Podman, on this machine and on others that OpenSSH reaches.
  - Each becomes a host that P(bayplan.containers.container#connection) reaches.
  - The file's name ends with C(containers.yml) or C(containers.yaml).
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan where the containers are
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
notes:
  - Groups are C(project_NAME), C(service_NAME), C(state_NAME), and C(on_HOST) for a place of O(places).
  - Variables of a host are C(bayplan_name), C(bayplan_id), C(bayplan_project), C(bayplan_service), C(bayplan_image),
    C(bayplan_labels), C(bayplan_state), C(bayplan_health), C(bayplan_addresses), C(bayplan_ports), C(bayplan_place).
options:
  plugin:
    description: Name of this plugin.
    type: str
    required: true
    choices: [bayplan.containers.containers]
  places:
    description:
      - Where containers are, V(local) or C([user@]host[:port]).
      - A host of more than one place is called C(NAME@HOST), since a name is unique on its machine only.
    type: list
    elements: str
    default: [local]
  engine:
    description: Who runs the containers.
    type: str
    choices: [native, docker, podman, auto]
    default: auto
  engine_address:
    description: Where Docker or Podman answers.
    type: str
  settings:
    description: Settings of the engine, over its configuration file.
    type: dict
    default: {}
  bayplan_command:
    description: The command there, in words as a shell reads them, such as V(sudo -n /opt/bayplan/bin/bayplan).
    type: str
    default: bayplan
    env:
      - name: BAYPLAN_COMMAND
  ssh_args:
    description: More arguments of C(ssh).
    type: str
    default: ""
  states:
    description: Only containers in these states; all when empty.
    type: list
    elements: str
    default: [running]
  projects:
    description: Only containers of these projects; all when empty.
    type: list
    elements: str
    default: []
  labels:
    description: Labels by which containers are grouped too, as C(label_NAME_VALUE).
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
# shop.containers.yml
plugin: bayplan.containers.containers
places: [local, root@10.0.0.7]
projects: [shop]
labels: [tier]
strict: true
keyed_groups:
  - key: bayplan_image
    prefix: image
compose:
  ansible_user: "'app' if bayplan_service == 'web' else 'root'"
"""

import json
import re
import shlex
from contextlib import suppress
from typing import Any

from ansible.errors import AnsibleError, AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible_collections.bayplan.containers.plugins.plugin_utils._place import Place, variables

PASSED_ON = ("engine", "engine_address", "settings", "bayplan_command", "ssh_args")


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Asks each place once, or the cache."""

    NAME = "bayplan.containers.containers"

    def verify_file(self, path: str) -> bool:
        """Whether the file's name is one of ours."""
        return super().verify_file(path) and path.endswith(("containers.yml", "containers.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Add the hosts. Raises AnsibleParserError when a place does not answer."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        for option in PASSED_ON:  # they may be templates
            self.set_option(option, self.templar.template(self.get_option(option)))
        key = self.get_cache_key(path)
        found = None
        if cache and self.get_option("cache"):
            with suppress(KeyError):
                found = self._cache[key]
        if found is None:
            found = {place: self._ask(place) for place in self.get_option("places")}
        if self.get_option("cache"):
            self._cache[key] = found
        for place, rows in found.items():
            for row in rows:
                if self._wanted(row):
                    self._add(place, row, several=len(found) > 1)

    def _ask(self, place: str) -> list[dict[str, Any]]:
        chosen = {name: self.get_option(name) for name in ("engine", "engine_address")}
        given = variables(self.get_option("settings") or {}, **chosen)
        command = shlex.split(self.get_option("bayplan_command"))
        if command[0] == "sudo":
            command.insert(1, f"--preserve-env={','.join(given)}")
        try:
            there = Place(place, shlex.split(self.get_option("ssh_args") or ""))
            code, out, err = there.start([*command, "bridge"], given).end(b'{"verb": "containers"}\n')
        except AnsibleError as error:
            raise AnsibleParserError(f"containers of {place}: {error}") from None  # Ansible would say it twice
        try:
            answer = json.loads(out)
        except ValueError as error:
            said = err.decode(errors="replace").strip() or f"exit code {code}"
            raise AnsibleParserError(f"containers of {place}: bayplan gave no answer: {said}") from error
        if answer.get("failed"):
            raise AnsibleParserError(f"containers of {place}: {answer['msg']}; {answer.get('hint') or ''}".rstrip("; "))
        rows: list[dict[str, Any]] = answer["result"]
        return rows

    def _wanted(self, row: dict[str, Any]) -> bool:
        states, projects = self.get_option("states"), self.get_option("projects")
        return (not states or row["state"] in states) and (not projects or row["project"] in projects)

    def _add(self, place: str, row: dict[str, Any], *, several: bool) -> None:
        at = re.sub(r"[^\w.-]", "-", place.rpartition("@")[2])  # a colon would part patterns of hosts
        host = f"{row['name']}@{at}" if several else row["name"]
        self.inventory.add_host(host)
        known = {f"bayplan_{name}": value for name, value in row.items()}
        known |= {"bayplan_place": place, "bayplan_container": row["name"], "ansible_host": row["name"]}
        known["ansible_connection"] = "bayplan.containers.container"
        passed = {
            name if name.startswith("bayplan_") else f"bayplan_{name}": self.get_option(name) for name in PASSED_ON
        }
        known |= {name: value for name, value in passed.items() if value}
        if place != "local":
            known["bayplan_host"] = place
        for name, value in known.items():
            self.inventory.set_variable(host, name, value)
        groups = [(kind, row[kind]) for kind in ("project", "service", "state") if row[kind]]
        groups += [
            (f"label_{name}", row["labels"][name]) for name in self.get_option("labels") if name in row["labels"]
        ]
        groups += [("on", at)] if several else []
        for kind, name in groups:
            self.inventory.add_child(self.inventory.add_group(self._sanitize_group_name(f"{kind}_{name}")), host)
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), known, host, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), known, host, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), known, host, strict=strict)
