"""Why tasks do not run, told from what the swarm says of them."""

from __future__ import annotations

from typing import Any

from bayplan.runtime.swarm import tasks


def task(state: str, **more: Any) -> dict[str, Any]:
    status = {"State": state, "Err": more.pop("err", ""), "Timestamp": more.pop("at", "2026-01-01T00:00:00Z")}
    if code := more.pop("code", 0):
        status["ContainerStatus"] = {"ExitCode": code}
    return {"Status": status, "DesiredState": "running", "NodeID": "n1", "Slot": 1, **more}


def test_each_reason_is_told_once_the_newest_first_with_its_node() -> None:
    found = [
        task("failed", err="task: non-zero exit (3)", code=3, at="2026-01-01T00:00:01Z"),
        task("failed", err="task: non-zero exit (3)", code=3, at="2026-01-01T00:00:02Z"),
        task("rejected", err="No such image: x", at="2026-01-01T00:00:03.5Z", NodeID="n2"),
        task("running"),
        task("shutdown"),
    ]
    assert tasks.reasons(found, {"n1": "ship1", "n2": "ship2"}) == [
        "No such image: x (on ship2)",
        "task: non-zero exit (3) (on ship1)",
    ]


def test_an_exit_code_is_told_where_the_reason_does_not_say_it() -> None:
    assert tasks.reasons([task("failed", err="unhealthy", code=137)]) == ["unhealthy (exit code 137)"]


def test_a_task_without_a_node_is_a_reason_and_no_failure() -> None:
    waiting = task("pending", err="no suitable node (host-mode port already in use on 3 nodes)", NodeID="")
    assert tasks.homeless([waiting, task("pending")]) == [waiting]
    assert tasks.failed([waiting]) == []
    assert tasks.reasons([waiting]) == ["no suitable node (host-mode port already in use on 3 nodes)"]


def test_failures_of_earlier_changes_do_not_count() -> None:
    old, new = (task("failed", at=f"2026-01-01T00:00:0{second}.123456789Z") for second in (1, 5))
    assert tasks.failed([old, new], since="2026-01-01T00:00:03Z") == [new]
    assert tasks.failed([old, new]) == [new, old]


def test_a_slot_is_its_number_or_its_node() -> None:
    assert tasks.slot(task("running", Slot=3)) == "3"
    assert tasks.slot(task("running", Slot=0, NodeID="n7")) == "n7"
