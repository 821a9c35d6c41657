"""What a cgroup of version 2 says of rates and huge pages, by the examples of the kernel's documentation."""

import pytest

from bayplan.runtime.native.containers.drift import rates

FILES = {
    "io.max": "8:16 rbps=2097152 wbps=max riops=max wiops=120\n",
    "hugetlb.2MB.max": "max\n",
    "hugetlb.64KB.max": "65536\n",
}


@pytest.fixture(autouse=True)
def unified(monkeypatch):
    monkeypatch.setattr(rates.cgroups, "is_unified", lambda: True)
    monkeypatch.setattr(rates.cgroups, "read", lambda _, __, name, ___: FILES.get(name, ""))


def device(rate, minor=16):
    return [{"major": 8, "minor": minor, "rate": rate}]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"blockIO": {"throttleReadBpsDevice": device(2 << 20), "throttleWriteIOPSDevice": device(120)}}, []),
        (
            {"blockIO": {"throttleReadBpsDevice": device(1), "throttleWriteBpsDevice": device(5)}},
            [
                "device 8:16 may have 2097152 bytes a second, not 1",
                "device 8:16 may have any number of bytes a second, not 5",
            ],
        ),
        (
            {"blockIO": {"throttleReadIOPSDevice": device(7, minor=0)}},
            ["device 8:0 may have any number of reads a second, not 7"],
        ),
        ({"cpu": {"shares": 512}}, []),
        ({"hugepageLimits": [{"pageSize": "64KB", "limit": 100000}]}, []),
        (
            {"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}, {"pageSize": "1GB", "limit": 1}]},
            ["its limit of huge pages of 2MB is max, not 4194304"],
        ),
    ],
)
def test_what_differs_is_said(wanted, said):
    assert list(rates.other_rates("/group", wanted)) == said
