"""Other people's firewalls that drop what our bridges forward.

Every base chain of a hook must let a packet pass: an accept of ours cannot undo a drop of theirs (nft(8), "chains").
Their rules are theirs; so what is in the way is found and told, with the command that opens it. See
docs/decisions/0007-other-firewalls.md.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bayplan.system import nftables

_FAMILIES = ("ip", "ip6", "inet")
_ENDS = ("drop", "reject")


def closed(bridges: Mapping[str, bool], own_table: str) -> dict[str, str]:
    """What is in the way of each bridge that no rule there names, as a sentence. Reads only.

    ``bridges`` tells of each whether it has IPv6.
    A table in which some rule names the bridge was arranged for it; whether rightly, only packets can tell.
    """
    found: dict[str, list[str]] = {}
    for chain in _forwarding(own_table):
        rules = _rules(chain)
        own = [rule for rule in rules if rule["chain"] == chain["name"]]
        if chain.get("policy") != "drop" and not _ends_all(own):
            continue
        named = {name for rule in rules for name in _names(rule.get("expr", ()))}
        for bridge, six in bridges.items():
            if chain["family"] == "ip6" and not six:
                continue
            if not any(fnmatch.fnmatchcase(bridge, name) for name in named):
                where = f"{chain['name']} of table {chain['family']} {chain['table']}"
                found.setdefault(bridge, []).append(f"{where}: {_advice(chain, rules, bridge)}")
    return {
        bridge: f"what bridge {bridge} forwards is dropped by " + "; and by ".join(places)
        for bridge, places in found.items()
    }


def _forwarding(own_table: str) -> Iterator[Mapping[str, Any]]:
    for item in nftables.listing("chains"):
        chain = item.get("chain", {})
        ours = chain.get("table") == own_table
        if chain.get("hook") == "forward" and chain.get("family") in _FAMILIES and not ours:
            yield chain


def _rules(chain: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = nftables.listing(f"table {chain['family']} {chain['table']}")
    return [item["rule"] for item in listed if "rule" in item]


def _ends_all(rules: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the last rule drops whatever comes to it."""
    parts = [part for part in rules[-1].get("expr", ()) if "counter" not in part] if rules else []
    return len(parts) == 1 and any(word in parts[0] for word in _ENDS)


def _names(expressions: Sequence[Any]) -> Iterator[str]:
    """The names of links that a rule asks for."""
    for part in expressions:
        match = part.get("match", {}) if isinstance(part, dict) else {}
        key = match.get("left", {}).get("meta", {}).get("key") if isinstance(match.get("left"), dict) else None
        if key in ("iifname", "oifname") and match.get("op") in ("==", "in"):
            right = match["right"]
            every = right.get("set", ()) if isinstance(right, dict) else [right]
            yield from (name for name in every if isinstance(name, str))


def _advice(chain: Mapping[str, Any], rules: Sequence[Mapping[str, Any]], bridge: str) -> str:
    chains = {rule["chain"] for rule in rules}
    targets = {part.get("jump", {}).get("target") for rule in rules for part in rule.get("expr", ()) if "jump" in part}
    if chain["table"] == "firewalld":
        return f"firewall-cmd --zone=trusted --add-interface={bridge}"
    if {"ufw-before-forward", "ufw6-before-forward"} & (chains | targets):
        return f"ufw route allow in on {bridge} && ufw route allow out on {bridge}"
    if chain["family"] == "inet":
        opened = f"nft insert rule inet {chain['table']} {chain['name']}"
        return f"{opened} iifname {bridge} accept && {opened} oifname {bridge} accept"
    program = "ip6tables" if chain["family"] == "ip6" else "iptables"
    target = "DOCKER-USER" if "DOCKER-USER" in chains | targets else chain["name"]
    return f"{program} -I {target} -i {bridge} -j ACCEPT && {program} -I {target} -o {bridge} -j ACCEPT"
