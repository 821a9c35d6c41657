# Copyright: the Bayplan contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans as lines that people read."""

from __future__ import annotations

DOCUMENTATION = r"""
name: plans
type: aggregate
short_description: Plans as lines that people read
description:
  - After a task that made a plan, a line for each step; in check mode too. Values that may be secret are masked in it.
  - A task that goes on is told of now and then, with the time that it takes and how far its pulls and builds are.
    The latter is asked of the target by a further command, where the task itself needs no module there.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
options:
  unchanged:
    description: Whether to tell of plans without a step too.
    type: bool
    default: false
    ini:
      - section: callback_bayplan_plans
        key: unchanged
    env:
      - name: BAYPLAN_PLANS_UNCHANGED
  still_after:
    description: Seconds after which, and then every so many, a task that goes on is told of; V(0) never.
    type: int
    default: 15
    ini:
      - section: callback_bayplan_plans
        key: still_after
    env:
      - name: BAYPLAN_PLANS_STILL_AFTER
"""

EXAMPLES = r"""
# ansible.cfg
# [defaults]
# callbacks_enabled = bayplan.containers.plans
"""

import time
from collections.abc import Iterator, Mapping
from threading import Event, Thread
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible_collections.bayplan.containers.plugins.plugin_utils import _telling

OURS = "bayplan.containers."
SIGNS = {"create": "+", "pull": "+", "build": "+", "delete": "-", "re-create": "±"}


class CallbackModule(CallbackBase):
    """Beside any other callback."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "bayplan.containers.plans"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._running: dict[tuple[str, str], float] = {}
        self._ended = Event()
        self._teller: Thread | None = None

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Tasks are run by processes that begin with what is set here."""
        _telling.every_s = int(self.get_option("still_after"))

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """A task of ours begins on a host."""
        if not str(task.action).startswith(OURS):
            return
        self._running[host.get_name(), task.get_name()] = time.monotonic()
        if self._teller is None and self.get_option("still_after"):
            self._teller = Thread(target=self._tell, args=(self.get_option("still_after"),), daemon=True)
            self._teller.start()

    def v2_runner_on_ok(self, result: Any) -> None:
        """It ended well."""
        self._show(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """It failed: what was planned, and how far it came."""
        self._show(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """It never began."""
        self._forget(result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        """It was not wanted."""
        self._forget(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """All is over."""
        self._ended.set()

    def _show(self, result: Any) -> None:
        self._forget(result)
        outcome = result._result
        if getattr(result._task, "no_log", False) or outcome.get("_ansible_no_log"):
            return
        for item in outcome.get("results") or [outcome]:
            if isinstance(item, Mapping) and isinstance(item.get("plan"), Mapping):
                for line in lines(item, unchanged=self.get_option("unchanged")):
                    self._display.display(f"  {result._host.get_name()}: {line}")

    def _forget(self, result: Any) -> None:
        self._running.pop((result._host.get_name(), result._task.get_name()), None)

    def _tell(self, every_s: int) -> None:
        """Now and then, which tasks still go on: a pull and a build can take minutes."""
        while not self._ended.wait(every_s):
            now = time.monotonic()
            for (host, task), began in list(self._running.items()):
                if now - began >= every_s:
                    self._display.display(f"  {host}: {task} goes on, {now - began:.0f} s")


def lines(outcome: Mapping[str, Any], *, unchanged: bool) -> Iterator[str]:
    """A plan of a result: how many steps, then each, with what differs and what came of it."""
    plan, result = outcome["plan"], outcome.get("result") or {}
    steps, acts = plan.get("steps") or (), outcome.get("acts") or ()
    if not steps and not acts and not unchanged:
        return
    about = plan.get("project") or "resources"
    yield f"{about}: {len(steps) + len(acts)} to change, {len(plan.get('unchanged') or ())} as declared"
    for step in steps:
        name = f"{step['resource']['kind']} {step['resource']['name']}"
        came = next((word for word in ("failed", "skipped") if name in (result.get(word) or ())), "")
        yield f"  {SIGNS.get(step['action'], '~')} {step['action']} {name}: {step['why']}" + (
            f" [{came}]" if came else ""
        )
        for field in step.get("fields") or ():
            yield f"      {field['path']}: {field['before']!r} -> {field['after']!r}"
        for risk in step.get("risks") or ():
            yield f"      ! {risk}"
    for act in acts:
        yield f"  ~ {act['act']} {act['name']}"
