"""The functions of the package: questions that change nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from bayplan.errors import NotFoundError, UnsupportedError
from bayplan.pulumi import checking, names, package
from bayplan.pulumi.failures import Wrong
from bayplan.pulumi.projects import Project
from bayplan.pulumi.questions import PlannedField
from bayplan.pulumi.resources import told
from bayplan.pulumi.resources.base import Values
from bayplan.pulumi.session import Session
from bayplan.pulumi.values import plain

Asked = Mapping[str, Any]


def call(token: str, args: Values, session: Session) -> tuple[Values, list[Wrong]]:
    """The answer, or what is wrong with the arguments. Raises UnsupportedError for a function that there is not."""
    function = package.FUNCTIONS.get(token)
    if function is None:
        raise UnsupportedError(f"the package has no function {token}", where="provider bayplan")
    asked = names.fields(function.asked, plain(args))
    wrong = checking.of_model(function.asked, asked)
    if wrong:
        return {}, wrong
    found = _FUNCTIONS[token.rpartition(":")[2]](asked, session)
    return names.properties(function.found, found), []


def _image_digest(asked: Asked, session: Session) -> dict[str, Any]:
    found = session.ask("resolved", {"pull": "always", **asked})["image"]
    name, digest = str(asked["name"]), str(found["digest"])
    there = {key: found[key] for key in ("present", "size_bytes")}
    return {"name": name, "digest": digest, "reference": told.reference(name, digest), **there}


def _container(asked: Asked, session: Session) -> dict[str, Any]:
    row = _there("container", asked["name"], session)
    fields = row["fields"]
    own = {"labels": {}, "service": "", **{key: fields[key] for key in ("labels", "service") if key in fields}}
    owner = {"project": row["project"], "managed": row["managed"]}
    return {"name": asked["name"], "image": fields["image"], **own, **owner, **told.live(row)}


def _network(asked: Asked, session: Session) -> dict[str, Any]:
    row = _there("network", asked["name"], session)
    shown = session.ask("network_info", {"name": asked["name"]})["network"] or {}
    on_it = [str(one["Name"]) for one in (shown.get("Containers") or {}).values()]
    fields, known = row["fields"], told.network(row)
    own = {"driver": fields.get("driver", "bridge"), "internal": fields.get("internal", False)}
    ranges = {key: known[key] for key in ("subnets", "gateways")}
    labels = {"labels": fields.get("labels", {}), "managed": row["managed"]}
    return {"name": asked["name"], **own, **ranges, **labels, "containers": sorted(on_it)}


def _there(kind: str, name: str, session: Session) -> Mapping[str, Any]:
    row = session.observed(kind, name)
    if row is None:
        raise NotFoundError(f"{kind} {name} does not exist", where=session.connection.place.name)
    return row


def _plan(asked: Asked, session: Session) -> dict[str, Any]:
    answer = Project(session, asked).plan(text=True)
    plan = answer["plan"]
    steps = [
        {
            "resource": f"{step['resource']['kind']} {step['resource']['name']}",
            **{key: step[key] for key in ("action", "why", "risks")},
            "fields": [{key: change[key] for key in PlannedField.model_fields} for change in step["fields"]],
        }
        for step in plan["steps"]
    ]
    return {"changed": plan["changed"], "steps": steps, "text": answer["text"], "document": json.dumps(plan)}


def _logs(asked: Asked, session: Session) -> dict[str, Any]:
    options = {key: value for key, value in asked.items() if value is not None}
    lines = session.ask("container_logs", options)["lines"]
    return {"lines": lines, "text": "\n".join(line["text"] for line in lines)}


_FUNCTIONS: Mapping[str, Callable[[Asked, Session], dict[str, Any]]] = {
    "getImageDigest": _image_digest,
    "getContainer": _container,
    "getNetwork": _network,
    "getPlan": _plan,
    "getLogs": _logs,
}
