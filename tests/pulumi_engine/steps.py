"""What one resource needs, and doing it: Pulumi's step generator and step executor for a custom resource."""

import os
from dataclasses import replace

from pulumi_engine.plugin import ProviderError, detailed
from pulumi_engine.wire import UNKNOWN, with_secrets


class StepError(Exception):
    """A resource that could not be brought to what was asked for."""


class Steps:
    """The steps of one run. In a preview nothing of the state is changed."""

    def __init__(self, state, result, *, preview):
        self.state, self.result, self.preview = state, result, preview
        self.seen, self.later = set(), []

    def bring(self, goal, plugin, options):
        """A resource to what a program asks for; returns its id and outputs."""
        old = self.state.find(goal.urn)
        self.seen.add(goal.urn)
        if options.import_id and (old is None or old.id != options.import_id):
            return self._import(goal, plugin, options)
        inputs = self._checked(goal, plugin, old.inputs if old else {})
        if old is None or old.external:
            return self._create(goal, plugin, inputs, options)
        if old.provider != goal.provider:
            return self._replace(goal, plugin, old, False, options)
        found = plugin.diff(old, inputs, options.ignored)
        if detailed(found):
            self.result.diffs[goal.name] = detailed(found)
        if found.replaces:
            before = options.delete_first if options.delete_first is not None else found.deleteBeforeReplace
            return self._replace(goal, plugin, old, before, options)
        if found.changes == found.DIFF_SOME or old.init_errors:
            return self._update(goal, plugin, old, inputs, options)
        self.result.note("same", goal.name)
        kept = replace(goal, id=old.id, inputs=inputs, outputs=old.outputs)
        self._put(kept, old)
        return old.id, old.outputs

    def delete(self, old, plugin):
        """Remove one that nobody asks for any more."""
        if old.protect:
            raise StepError(f"{old.name} is protected: it cannot be deleted")
        self.result.note("delete-replaced" if old.aside else "delete", old.name)
        if self.preview:
            return
        if not (old.retain or old.external):
            self._told(lambda: plugin.delete(old), old.name)
        self.state.drop(old)

    def _checked(self, goal, plugin, olds):
        inputs, wrong = self._told(lambda: plugin.check(goal.urn, olds, goal.inputs, os.urandom(32)), goal.name)
        if wrong:
            raise StepError("\n".join(f"{goal.name}: {one}" for one in wrong))
        return inputs

    def _create(self, goal, plugin, inputs, options, operation="create"):
        self.result.note(operation, goal.name)
        made = replace(goal, inputs=inputs)
        try:
            made.id, outputs = plugin.create(goal.urn, inputs, preview=self.preview)
            made.outputs = with_secrets(outputs, options.secret_outputs)
        except ProviderError as error:
            if error.partly is not None:
                made.id, _, made.outputs, made.init_errors = error.partly
                self._put(made)
            raise StepError(f"{goal.name}: {error}") from None
        self._put(made)
        return made.id, made.outputs

    def _update(self, goal, plugin, old, inputs, options):
        self.result.note("update", goal.name)
        made = replace(goal, id=old.id, inputs=inputs)
        try:
            outputs = plugin.update(old, inputs, preview=self.preview, ignored=options.ignored)
            made.outputs = with_secrets(outputs, options.secret_outputs)
        except ProviderError as error:
            if error.partly is not None:
                _, _, made.outputs, made.init_errors = error.partly
                self._put(made, old)
            raise StepError(f"{goal.name}: {error}") from None
        self._put(made, old)
        return made.id, made.outputs

    def _replace(self, goal, plugin, old, before, options):
        if old.protect:
            raise StepError(f"{old.name} is protected: it cannot be replaced")
        inputs = self._checked(goal, plugin, {})
        if before:
            self.result.note("delete-replaced", goal.name)
            if not self.preview:
                self._told(lambda: plugin.delete(old), goal.name)
                self.state.drop(old)
        elif not self.preview:
            old.aside = True
        try:
            made = self._create(goal, plugin, inputs, options, "create-replacement")
        except StepError:
            if not before and not self.preview and self.state.find(goal.urn) is None:
                old.aside = False  # it is still what there is
            raise
        if self.preview and not before:
            self.result.note("delete-replaced", goal.name)
        return made

    def _import(self, goal, plugin, options):
        self.result.note("import", goal.name)
        found = self._told(lambda: plugin.read(goal.urn, options.import_id, {}, {}), goal.name)
        if found is None:
            raise StepError(f"{goal.name}: {options.import_id} is not there")
        id_, there, outputs = found
        made = replace(goal, id=id_, inputs=there, outputs=with_secrets(outputs, options.secret_outputs))
        inputs = self._checked(goal, plugin, there)
        differing = plugin.diff(made, inputs, options.ignored)
        if differing.changes == differing.DIFF_SOME:
            raise StepError(f"{goal.name}: inputs to import do not match the existing resource: {detailed(differing)}")
        made.inputs = inputs
        self._put(made)
        return made.id, made.outputs

    def _put(self, made, instead_of=None):
        if not self.preview:
            self.state.put(made, instead_of)

    def _told(self, asked, name):
        try:
            return asked()
        except ProviderError as error:
            raise StepError(f"{name}: {error}") from None


def not_known(resource):
    """Outputs of a resource whose provider is not configured yet: its inputs, and nothing else is known."""
    return {name: UNKNOWN if value is None else value for name, value in resource.inputs.items()}
