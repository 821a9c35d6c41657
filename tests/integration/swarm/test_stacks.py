"""Stacks on a swarm of three real hosts: made, changed, taken back, and an empty plan after each."""

import pytest

from bayplan.errors import ConflictError, RuntimeFailureError
from bayplan.models import Kind, ResourceId
from bayplan.reconcile.plan import Action
from bayplan.runtime.protocol import Scope

pytestmark = pytest.mark.host

WEB = """
services:
  web:
    image: IMAGE:1
    command: [sh, -c, "mkdir /www; cat /run/secrets/word > /www/index.html; exec httpd -f -p 80 -h /www"]
    secrets: [word]
    ports: [{target: 80, published: 8080, mode: host}]
    stop_grace_period: 1s
    init: true
    environment: {OLD: value}
    deploy:
      replicas: 2
      endpoint_mode: dnsrr
      update_config: {parallelism: 0, monitor: 1s}
secrets:
  word: {environment: WORD}
"""

EVERYTHING = """
services:
  all:
    image: IMAGE:1
    entrypoint: [sh, -c]
    command: ["sleep 1000"]
    environment: {ONE: "1", PASSWORD: hidden, TEMPLATE: "{{.Node.Hostname}}"}
    working_dir: /tmp
    user: "0:0"
    group_add: ["12"]
    hostname: "h-{{.Task.Slot}}"
    labels: {of: container}
    networks: {default: {aliases: [other]}, back: }
    volumes: [data:/data, /bin:/host:ro, /own]
    tmpfs: /scratch:size=1m,mode=700
    secrets: [{source: word, target: /etc/word, uid: "5", gid: "6", mode: 0400}]
    configs: [{source: text, target: /etc/text}]
    healthcheck: {test: [CMD, "true"], interval: 1s, timeout: 5s, retries: 2, start_period: 1s}
    extra_hosts: ["there:10.0.0.9", "there:10.0.0.8"]
    dns: [10.97.0.1]
    dns_search: [example.org]
    dns_opt: [ndots:2]
    cap_add: [NET_ADMIN]
    cap_drop: [MKNOD]
    sysctls: {net.ipv4.ip_default_ttl: 70}
    ulimits: {nofile: {soft: 100, hard: 200}}
    read_only: true
    init: true
    tty: true
    stdin_open: true
    stop_signal: SIGINT
    stop_grace_period: 1s
    logging: {driver: json-file, options: {max-size: 1m}}
    deploy:
      labels: {of: service}
      endpoint_mode: dnsrr
      placement:
        constraints: [node.role == worker]
        preferences: [{spread: node.hostname}]
        max_replicas_per_node: 1
      resources:
        limits: {cpus: "0.25", memory: 32M, pids: 50}
        reservations: {cpus: "0.05", memory: 8M}
      restart_policy: {condition: on-failure, delay: 2s, max_attempts: 7, window: 1m}
      update_config: {parallelism: 2, delay: 1s, monitor: 1s, failure_action: continue, max_failure_ratio: 0.5, order: start-first}
      rollback_config: {parallelism: 0, monitor: 2s}
networks:
  back: {internal: true, attachable: true, driver_opts: {encrypted: ""}, ipam: {config: [{subnet: 10.77.0.0/24}]}}
volumes:
  data: {labels: {of: volume}}
secrets:
  word: {environment: WORD}
configs:
  text: {content: hello}
"""  # noqa: E501 - one option is one line


def answers(swarm, port=8080):
    """What each host gives on a port; None where nothing listens."""
    return [swarm.hosts[0].switch.fetch(f"http://{host.address}:{port}/") for host in swarm.hosts]


def actions(plan):
    return {str(step.resource).partition("-")[0]: step.action for step in plan.steps}


def test_a_fresh_stack_leaves_an_empty_plan_and_answers(swarm, name):
    stack = swarm.stack(WEB, name, WORD="one")
    plan = swarm.apply(stack)
    assert {step.action for step in plan.steps} == {Action.CREATE}
    assert sorted(str(one) for one in answers(swarm)) == ["None", "one", "one"]
    again = swarm.plan(stack)
    assert again.steps == ()
    assert again.noted == ()
    assert again.warnings == ()


def test_every_option_is_read_back_as_it_was_written(swarm, name):
    stack = swarm.stack(EVERYTHING, name, WORD="one")
    swarm.apply(stack)
    again = swarm.plan(stack)
    assert again.steps == ()
    observed = swarm.runtime.observe(Scope(project=name)).get(ResourceId(kind=Kind.SERVICE, name=f"{name}_all"))
    (declared,) = stack.sealed(swarm.runtime.facts().key.get_secret_value()).services
    assert observed.actual.model_copy(update={"digest": None}) == declared
    assert "hidden" not in again.model_dump_json()


def test_a_secret_s_new_content_is_a_new_version_and_the_old_one_goes(swarm, name):
    swarm.apply(swarm.stack(WEB, name, WORD="one"))
    stack = swarm.stack(WEB, name, WORD="two")
    plan = swarm.plan(stack)
    kinds = [(step.resource.kind, step.action) for step in plan.steps]
    assert kinds == [
        (Kind.SECRET, Action.CREATE),
        (Kind.SERVICE, Action.UPDATE),
        (Kind.SECRET, Action.DELETE),
    ]
    swarm.apply(stack)
    assert sorted(str(one) for one in answers(swarm)) == ["None", "two", "two"]
    assert swarm.plan(stack).steps == ()
    left = [one["Spec"]["Name"] for one in swarm.runtime.cluster.secrets()]
    assert len([one for one in left if one.startswith(f"{name}_word")]) == 1


def test_scale_environment_and_image_are_changed_in_place(swarm, name):
    swarm.apply(swarm.stack(WEB, name, WORD="one"))
    text = WEB.replace("replicas: 2", "replicas: 3").replace("IMAGE:1", "IMAGE:2")
    text = text.replace("OLD: value", "OLD: value, NEW: value")
    stack = swarm.stack(text, name, WORD="one")
    plan = swarm.plan(stack)
    (step,) = plan.steps
    assert step.action is Action.UPDATE
    assert {change.path for change in step.fields} == {"replicas", "image", "digest", "environment[NEW]"}
    swarm.apply(stack)
    assert answers(swarm) == ["one", "one", "one"]
    assert swarm.plan(stack).steps == ()


def test_a_failing_update_gives_the_tasks_reasons_and_what_ran_before_comes_back(swarm, name):
    good = swarm.stack(WEB, name, WORD="one")
    swarm.apply(good)
    bad = swarm.stack(WEB.replace("exec httpd", "echo no such port; exit 3; exec httpd"), name, WORD="one")
    with pytest.raises(RuntimeFailureError) as caught:
        swarm.apply(bad)
    assert "taken back" in caught.value.what
    assert "exit (3)" in caught.value.what
    assert "(on node" in caught.value.what
    assert "no such port" in caught.value.output
    assert sorted(str(one) for one in answers(swarm)) == ["None", "one", "one"]
    assert swarm.plan(good).steps == ()
    assert actions(swarm.plan(bad)) == {f"service {name}_web": Action.UPDATE}


def test_a_service_that_never_runs_is_told_with_its_reason(swarm, name):
    nowhere = WEB.replace("endpoint_mode", "placement: {constraints: [node.labels.no == such]}\n      endpoint_mode")
    with pytest.raises(RuntimeFailureError, match="no suitable node"):
        swarm.apply(swarm.stack(nowhere, name, WORD="one"))
    missing = swarm.stack(WEB, name, WORD="one")
    swarm.apply(missing)  # and it is mended by an apply
    assert swarm.plan(missing).steps == ()


def test_a_new_service_whose_tasks_fail_is_told_when_one_has_failed_twice(swarm, name):
    failing = WEB.replace("exec httpd", "echo cannot; exit 4; exec httpd")
    failing = failing.replace("replicas: 2", "replicas: 2\n      restart_policy: {delay: 0s}")
    with pytest.raises(RuntimeFailureError, match=r"does not come to run: .*exit \(4\)") as caught:
        swarm.apply(swarm.stack(failing, name, WORD="one"))
    assert "cannot" in caught.value.output


def test_a_change_that_shall_pause_on_failure_is_drift_until_it_goes_on(swarm, name):
    good = WEB.replace("monitor: 1s", "monitor: 1s, failure_action: pause")
    swarm.apply(swarm.stack(good, name, WORD="one"))
    bad = swarm.stack(good.replace("exec httpd", "exit 3; exec httpd"), name, WORD="one")
    with pytest.raises(RuntimeFailureError, match="stopped half-way"):
        swarm.apply(bad)
    (step,) = swarm.plan(bad).steps
    assert step.action is Action.HEAL
    assert "its last change stopped half-way" in step.why
    swarm.apply(swarm.stack(good, name, WORD="one"))
    assert swarm.plan(swarm.stack(good, name, WORD="one")).steps == ()
    assert sorted(str(one) for one in answers(swarm)) == ["None", "one", "one"]


def test_drift_is_seen_and_mended(swarm, name):
    stack = swarm.stack(WEB, name, WORD="one")
    swarm.apply(stack)
    other = ("--env-add", "X=1", "--replicas", "1")
    swarm.hosts[0].docker("service", "update", "-q", "--detach", *other, f"{name}_web")
    (step,) = swarm.plan(stack).steps
    assert {change.path for change in step.fields} == {"environment[X]", "replicas"}
    assert "drift" in step.why
    swarm.apply(stack)
    assert swarm.plan(stack).steps == ()
    assert sorted(str(one) for one in answers(swarm)) == ["None", "one", "one"]


def test_a_rollback_brings_the_last_declaration_back(swarm, name):
    first = swarm.stack(WEB, name, WORD="one")
    swarm.apply(first)
    second = swarm.stack(WEB.replace("IMAGE:1", "IMAGE:2"), name, WORD="one")
    swarm.apply(second)
    swarm.apply(first)
    assert swarm.plan(first).steps == ()
    swarm.runtime.rollback(f"{name}_web", first.services[0].update.monitor * 60)
    assert swarm.plan(second).steps == ()


def test_what_is_no_longer_declared_goes_after_those_that_use_it(swarm, name):
    stack = swarm.stack(EVERYTHING, name, WORD="one")
    swarm.apply(stack)
    text = EVERYTHING.replace(", back: }", "}").replace("    configs: [{source: text, target: /etc/text}]\n", "")
    fewer = swarm.stack(text, name, WORD="one")
    plan = swarm.apply(fewer)
    assert [step.action for step in plan.steps] == [Action.UPDATE, Action.DELETE, Action.DELETE]
    assert swarm.plan(fewer).steps == ()


def test_a_network_in_use_cannot_be_changed(swarm, name):
    swarm.apply(swarm.stack(EVERYTHING, name, WORD="one"))
    with pytest.raises(ConflictError, match=f"services are on it: {name}_all"):
        swarm.plan(swarm.stack(EVERYTHING.replace("10.77.0.0/24", "10.78.0.0/24"), name, WORD="one"))


def test_a_service_changes_from_replicated_to_global_by_being_made_anew(swarm, name):
    swarm.apply(swarm.stack(WEB, name, WORD="one"))
    stack = swarm.stack(WEB.replace("replicas: 2", "mode: global"), name, WORD="one")
    assert [step.action for step in swarm.plan(stack).steps] == [Action.RECREATE]
    swarm.apply(stack)
    assert answers(swarm) == ["one", "one", "one"]
    assert swarm.plan(stack).steps == ()


def test_a_change_of_another_client_in_between_is_kept(swarm, name):
    swarm.apply(swarm.stack(WEB, name, WORD="one"))
    services, service = swarm.runtime.services, f"{name}_web"
    versions = []

    def change(found):
        versions.append(found["Version"]["Index"])
        if len(versions) == 1:
            swarm.hosts[0].docker("service", "update", "-q", "--detach", "--label-add", "of=another", service)
        body = {**found["Spec"], "Labels": {**found["Spec"]["Labels"], "of.us": "too"}}
        services._put(found, body, {})

    swarm.runtime.cluster.change(service, lambda: swarm.runtime.cluster.service(service), change)
    assert len(versions) == 2
    labels = services.get(service)["Spec"]["Labels"]
    assert (labels["of"], labels["of.us"]) == ("another", "too")


def test_logs_come_from_every_task(swarm, name):
    text = WEB.replace('"mkdir /www', '"echo hello from $$HOSTNAME; mkdir /www')
    swarm.apply(swarm.stack(text, name, WORD="one"))
    lines = list(swarm.runtime.logs(f"{name}_web"))
    assert {line.container for line in lines} == {f"{name}_web.1", f"{name}_web.2"}
    assert all(line.text.startswith("hello from ") and line.stream == "stdout" for line in lines)
