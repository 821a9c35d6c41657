# Copyright: the Bayplan contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For the modules that meta/runtime.yml names: those that do no more than ask the bridge."""

from __future__ import annotations

from ansible_collections.bayplan.containers.plugins.plugin_utils._direct import DirectAction


class ActionModule(DirectAction):
    """Ansible looks for this name."""
