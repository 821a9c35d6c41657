"""Limits as the OCI runtime is told them."""

from bayplan.models import BlockIo, Container, DeviceWeight, Resources
from bayplan.runtime.native.containers.spec.resources import changes, limits
from bayplan.runtime.native.options import _limits
from bayplan.system import cgroups


def test_huge_pages_and_their_end() -> None:
    wanted = Resources(hugetlb={"2MB": 4 << 20})
    assert limits(wanted)["hugepageLimits"] == [{"pageSize": "2MB", "limit": 4 << 20}]
    assert changes(wanted, Resources())["hugepageLimits"][0]["limit"] > 1 << 60
    assert changes(wanted, Resources(hugetlb={"2MB": 2 << 20}))["hugepageLimits"] == [
        {"pageSize": "2MB", "limit": 2 << 20}
    ]


def test_huge_pages_need_their_controller(monkeypatch) -> None:
    monkeypatch.setattr(cgroups, "controllers", lambda: frozenset({"memory"}))
    assert any("controller hugetlb" in reason for reason in _limits(Resources(hugetlb={"2MB": 4 << 20})))
    monkeypatch.setattr(cgroups, "controllers", lambda: frozenset({"hugetlb"}))
    assert any("no huge pages of that size" in reason for reason in _limits(Resources(hugetlb={"3MB": 4 << 20})))


def test_a_weight_of_one_device() -> None:
    device = DeviceWeight(path="/dev/null", weight=20)
    made = Container(name="a", image="b", resources=Resources(blkio=BlockIo(weight_device=(device,))))
    assert limits(made.resources)["blockIO"]["weightDevice"] == [{"major": 1, "minor": 3, "weight": 20}]
