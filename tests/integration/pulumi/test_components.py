"""WebService on the real core: replicas behind one port, and a change that loses no request."""

import threading
import urllib.request

import pytest

pytestmark = pytest.mark.host
SHOP = """
    shop = bayplan.WebService("shop", image="lab/busybox", port=80, published=18482, replicas=2, project="shop",
        command=["sh", "-c", "mkdir /www; echo $(hostname)/$WORD > /www/index.html; exec httpd -f -p 80 -h /www"],
        environment={{"WORD": "{0}"}}, stop_grace_period="2s",
        health={{"test": ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1/"], "interval": "500ms"}},
        rollout=bayplan.Rollout(monitor="1s"))
    pulumi.export("url", shop.url)
    pulumi.export("names", shop.containers.apply(lambda found: [one.name for one in found]))
"""


def fetched(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode().strip()


def test_a_web_service_is_changed_without_a_lost_request(ship, host):
    engine = ship(SHOP.format("one"))
    assert engine.preview().changes == {"shop": ["create"]}
    made = engine.up()
    assert made.ok, made.errors
    url = made.outputs["url"]
    assert made.outputs["names"] == ["shop-shop-1", "shop-shop-2"]
    assert len({fetched(url) for _ in range(8)}) == 2
    assert engine.up().changes == {}

    heard, lost, over = set(), [], threading.Event()

    def ask():
        while not over.is_set():
            try:
                heard.add(fetched(url).partition("/")[2])
            except OSError as error:
                lost.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        changed = ship(SHOP.format("two")).up()
    finally:
        over.set()
        asking.join()
    assert changed.ok, changed.errors
    assert changed.changes == {"shop": ["update"]}
    assert heard == {"one", "two"}
    assert lost == []
    assert {fetched(url).partition("/")[2] for _ in range(8)} == {"two"}
    assert engine.destroy().ok
    assert host.containers() == {}
