"""Where one core lives on a host. Several can live side by side, each with its own roots, pool, prefix and table."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from bayplan.models.base import Model
from bayplan.models.types import ByteSize


class Settings(Model):
    """Read from /etc/bayplan/config.toml, then from ``BAYPLAN_*`` of the environment, by ``bayplan.engines``."""

    engine: Literal["native", "docker", "podman", "swarm", "auto"] = Field(
        "auto", description="Who runs the containers; auto: who already has the project's, else the core of this host."
    )
    engine_address: str | None = Field(
        None,
        description="Where Docker or Podman answers: unix:///path, ssh://[user@]host[:port][/path], tcp://host:port.",
    )
    engine_context: str | None = Field(None, description="Docker context that says where it answers.")
    engine_tls: Path | None = Field(None, description="Directory of ca.pem, cert.pem and key.pem for tcp://.")
    builder: Literal["engine", "bayplan"] = Field(
        "engine", description="Who builds images for Docker or Podman: their own builder, or Bayplan's on this host."
    )
    state_root: Path = Field(Path("/var/lib/bayplan"), description="Records, images, volumes, container data.")
    run_root: Path = Field(Path("/run/bayplan"), description="What a reboot ends: bundles, namespaces, pid files.")
    address_pool: IPv4Network = Field(
        IPv4Network("10.214.0.0/16"), description="Range from which networks without a subnet take a /24."
    )
    address_pool_v6: IPv6Network | None = Field(
        None,
        description="Range from which networks with enable_ipv6 and no IPv6 subnet take a /64; unset: a unique local"
        " /48 (RFC 4193) of this host's own.",
    )
    interface_prefix: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{0,4}$")] = Field(
        "bp", description="Start of the names of links on the host."
    )
    nft_table: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}$")] = Field(
        "bayplan", description="Name of the one nftables table (family inet) that holds every rule."
    )
    cgroup_parent: Annotated[str, StringConstraints(pattern=r"^/[a-zA-Z0-9_.-]+$")] = Field(
        "/bayplan", description="cgroup below which containers live."
    )
    secrets_root: Path = Field(
        Path("/etc/bayplan/secrets"), description="Files of external secrets, by their names; nobody but root reads it."
    )
    configs_root: Path = Field(Path("/etc/bayplan/configs"), description="Files of external configs, by their names.")
    oci_runtime: str = Field("crun", description="OCI runtime: a name in PATH or a path.")
    name_server: str = Field(
        "aardvark-dns", description="Name server of networks: a name in PATH or in Podman's directory, or a path."
    )
    workers: int = Field(8, ge=1, le=64, description="Steps of an apply that may run at once.")
    on_failure: Literal["rollback", "keep"] = Field(
        "rollback",
        description="What becomes of a stack whose apply fails on the way: rollback takes all of it back to the"
        " generation before, keep leaves what was done.",
    )
    generations_kept: int = Field(
        10, ge=1, le=1000, description="Generations of a project that can be gone back to; older ones are forgotten."
    )
    log_max_size: ByteSize | None = Field(
        None, ge=1024, description="A container's log is cut when it has reached this size; unset: it grows."
    )
    log_max_file: int = Field(3, ge=2, le=100, description="Files of a log that stay when it is cut.")
    registries_conf: tuple[Path, ...] = Field(
        (), description="containers-registries.conf(5) files to read instead of the system's."
    )
    signature_policy: Path | None = Field(
        None, description="containers-policy.json(5) file to read instead of the user's or the system's."
    )

    @property
    def lock_file(self) -> Path:
        """File whose flock(2) every change holds."""
        return self.state_root / "lock"
