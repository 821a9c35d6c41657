"""Environments compared: every place whose values differ, and whether a rule lets it differ. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bayplan.models import Allowance, Model
from bayplan.resolve.fingerprint import rule_for
from bayplan.resolve.report import Report

ABSENT = None
"""The value of a place that an environment has not."""
SIDES = ("declared", "running", "host")


class Difference(Model):
    """One place. ``values``: environment to what it has there, None for nothing; ``rule``: what lets it differ.

    ``side``: ``declared``, ``running`` (what runs is not what is declared, or differs), or ``host``.
    """

    side: str
    path: str
    service: str = ""
    field: str = ""
    values: dict[str, Any]
    rule: str = ""
    why: str = ""

    @property
    def allowed(self) -> bool:
        """Whether a rule of every environment lets it differ."""
        return bool(self.rule)


class Comparison(Model):
    """All of it. ``environments``: name to its report, in the order in which they were asked for."""

    environments: dict[str, Report]
    differences: tuple[Difference, ...]

    @property
    def unallowed(self) -> tuple[Difference, ...]:
        """Those that no rule lets be."""
        return tuple(item for item in self.differences if not item.allowed)

    @property
    def same(self) -> bool:
        """Whether all fingerprints are equal."""
        return len({item.fingerprint.digest for item in self.environments.values()}) <= 1


def compare(reports: Mapping[str, Report]) -> Comparison:
    """Compare environments by their names. Rules count where every environment has them."""
    rules = _common(reports)
    found = [*_of_rules(reports), *_declared(reports, rules), *_running(reports, rules), *_hosts(reports, rules)]
    return Comparison(environments=dict(reports), differences=tuple(found))


def _common(reports: Mapping[str, Report]) -> list[Allowance]:
    """The rules that every environment has."""
    first, *others = reports.values()
    held = [{rule.path for rule in one.allowed} for one in others]
    return [rule for rule in first.allowed if all(rule.path in own for own in held)]


def _of_rules(reports: Mapping[str, Report]) -> Iterator[Difference]:
    """Rules that one environment has and another has not: they count for nobody."""
    held = {name: {rule.path for rule in one.allowed} for name, one in reports.items()}
    for path in sorted(set().union(*held.values())):
        if all(path in own for own in held.values()):
            continue
        values = {name: "allowed" if path in own else ABSENT for name, own in held.items()}
        yield Difference(side="declared", path=f"x-bayplan.parity.allow.{path}", field="allow", values=values)


def _declared(reports: Mapping[str, Report], rules: list[Allowance]) -> Iterator[Difference]:
    yield from _differing("declared", {name: one.declared for name, one in reports.items()}, rules)


def _running(reports: Mapping[str, Report], rules: list[Allowance]) -> Iterator[Difference]:
    """What runs differently. Where each runs just what it declares, the difference was told already."""
    live = {name: one for name, one in reports.items() if one.running is not None}
    running = {name: one.running or {} for name, one in live.items()}
    for item in _differing("running", running, rules):
        if any(value != live[name].declared.get(item.path) for name, value in item.values.items()):
            yield item
    # What all of them run alike, and some declare otherwise, no comparison of the running alone shows.
    for name, one in live.items():
        for path, value in running[name].items():
            declared = one.declared.get(path)
            same_everywhere = all(places.get(path) == value for places in running.values())
            if declared is not None and declared != value and same_everywhere:
                values = {f"{name} declares": declared, f"{name} runs": value}
                yield _difference("running", path, values, rules)


def _hosts(reports: Mapping[str, Report], rules: list[Allowance]) -> Iterator[Difference]:
    hosts = {
        name: {f"host.{key}": value for key, value in one.host.items()} for name, one in reports.items() if one.host
    }
    yield from _differing("host", hosts, rules)


def _differing(side: str, places: Mapping[str, Mapping[str, Any]], rules: list[Allowance]) -> Iterator[Difference]:
    if len(places) < 2:
        return
    for path in sorted(set().union(*places.values())):
        values = {name: own.get(path, ABSENT) for name, own in places.items()}
        first = next(iter(values.values()))
        if any(value != first for value in values.values()):
            yield _difference(side, path, values, rules)


def _difference(side: str, path: str, values: dict[str, Any], rules: list[Allowance]) -> Difference:
    rule = rule_for(path, rules)
    service, field = "", path
    if path.startswith("services."):
        _, service, field = path.split(".", 2)
    told = {"rule": rule.path if rule else "", "why": rule.why if rule else ""}
    return Difference(side=side, path=path, service=service, field=field, values=values, **told)
