"""``deploy.update_config`` and ``rollback_config`` as the containers of one host have them."""

import logging

import pytest

from bayplan.errors import DeclarationError
from bayplan.load.compose import load_text
from bayplan.models import Duration, RollbackPolicy, UpdateConfig


def read(tmp_path, deploy):
    text = f"services: {{a: {{image: x, deploy: {deploy}}}}}"
    stack = load_text(text, label="c.yaml", project_directory=tmp_path, project_name="p")
    return [item.update_config for item in stack.containers]


def test_both_become_one_value_of_every_replica(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    found = read(
        tmp_path,
        "{replicas: 2, update_config: {parallelism: 0, delay: 3s, failure_action: continue, monitor: 1m,"
        " max_failure_ratio: 0.25, order: start-first}, rollback_config: {parallelism: 2, order: start-first}}",
    )
    wanted = UpdateConfig(
        parallelism=0,
        delay=Duration(seconds=3),
        failure_action="continue",
        monitor=Duration(minutes=1),
        max_failure_ratio=0.25,
        order="start-first",
        rollback=RollbackPolicy(parallelism=2, order="start-first"),
    )
    assert found == [wanted, wanted]
    assert caplog.text == ""


def test_what_is_not_said_is_as_the_specification_has_it(tmp_path):
    assert read(tmp_path, "{}") == [None]
    (found,) = read(tmp_path, "{update_config: {}}")
    assert (found.parallelism, found.order, found.failure_action, found.max_failure_ratio) == (
        1,
        "stop-first",
        "pause",
        0,
    )
    assert read(tmp_path, "{rollback_config: {parallelism: 3}}") == [
        UpdateConfig(rollback=RollbackPolicy(parallelism=3))
    ]


@pytest.mark.parametrize(
    ("deploy", "said"),
    [
        ("{update_config: {order: both}}", "order"),
        ("{update_config: {parallelism: -1}}", "parallelism"),
        ("{update_config: {max_failure_ratio: 2}}", "max_failure_ratio"),
        ("{update_config: {failure_action: panic}}", "failure_action"),
        ("{rollback_config: {failure_action: rollback}}", "failure_action"),
        ("{update_config: {speed: high}}", "speed"),
    ],
)
def test_what_is_wrong_is_refused_by_name(tmp_path, deploy, said):
    with pytest.raises(DeclarationError, match=said):
        read(tmp_path, deploy)
