from __future__ import annotations

import json

from services.detector.features import MAX_OF_A_KIND, features, split
from services.detector.traits import _TRAITS
from shared.schemas.codec import Decoder
from shared.schemas.metrics import BY_NAME
from shared.schemas.sample import HostSample
from tests.support.samples import host_sample

decode = Decoder(HostSample).line


def of(**overrides: object) -> dict[str, float]:
    return features(decode(json.dumps(host_sample(**overrides)).encode()))


def test_a_sample_becomes_metrics_of_the_catalogue() -> None:
    found = of()
    assert {split(name)[0] for name in found} <= BY_NAME.keys()
    assert found["cpu.percent"] == 23.4
    assert found["cpu.iowait"] == 1.2
    assert found["disk.percent{/srv/data}"] == 45.0
    assert found["network.recv_bytes_per_s{eth0}"] == 830_000.0
    assert found["pressure.io_some_avg10"] == 1.42


def test_every_trait_is_of_a_metric_there_is() -> None:
    assert _TRAITS.keys() <= BY_NAME.keys()


def test_every_feature_has_a_trait_of_its_own() -> None:
    assert {split(name)[0] for name in of()} <= _TRAITS.keys()


def test_absent_sections_are_absent() -> None:
    nothing = dict.fromkeys(
        "cpu load memory swap disks disk_io network pressure processes gpus temperatures".split()  # noqa: SIM905
    )
    assert of(**nothing) == {}


def test_loopback_and_virtual_interfaces_are_left_out() -> None:
    assert not [name for name in of() if name.endswith("{lo}")]
    network = [{"interface": f"veth{n}", **_counters()} for n in range(50)] + [{"interface": "eth7", **_counters()}]
    assert {name for name in of(network=network) if name.startswith("network.")} == {
        f"network.{field}{{eth7}}"
        for field in ("recv_bytes_per_s", "sent_bytes_per_s", "recv_packets_per_s", "errors_per_s", "drops_per_s")
    }


def test_a_machine_with_a_thousand_disks_is_looked_at_in_part() -> None:
    disk = host_sample()["disks"][0]
    found = of(disks=[disk | {"mountpoint": f"/mnt/{n}"} for n in range(1000)])
    assert sum(name.startswith("disk.percent") for name in found) == MAX_OF_A_KIND


def test_names_are_split_into_metric_and_label() -> None:
    assert split("cpu.percent") == ("cpu.percent", {})
    assert split("disk.percent{/}") == ("disk.percent", {"mountpoint": "/"})
    assert split("disk.percent{/odd}name{x}") == ("disk.percent", {"mountpoint": "/odd}name{x"})


def _counters() -> dict[str, int]:
    return dict.fromkeys(("bytes_sent", "bytes_recv", "packets_sent", "packets_recv"), 0)
