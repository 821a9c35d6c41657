"""The schema as numbered migrations. A migration that was released is never edited; a change is a new one."""

from __future__ import annotations

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE networks (
        name TEXT PRIMARY KEY, project TEXT NOT NULL, declared TEXT NOT NULL, subnet TEXT NOT NULL,
        gateway TEXT NOT NULL, bridge TEXT NOT NULL UNIQUE, created_at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE leases (
        network TEXT NOT NULL, address TEXT NOT NULL, owner TEXT NOT NULL, mac TEXT,
        PRIMARY KEY (network, address)
    ) STRICT;
    CREATE TABLE endpoints (
        container_id TEXT NOT NULL, network TEXT NOT NULL, position INTEGER NOT NULL, address TEXT NOT NULL,
        mac TEXT NOT NULL, link TEXT NOT NULL, aliases TEXT NOT NULL,
        PRIMARY KEY (container_id, network)
    ) STRICT;
    CREATE TABLE ports (
        host_ip TEXT NOT NULL, published INTEGER NOT NULL, protocol TEXT NOT NULL, container_id TEXT NOT NULL,
        target INTEGER NOT NULL, address TEXT NOT NULL,
        PRIMARY KEY (host_ip, published, protocol)
    ) STRICT;
    CREATE TABLE volumes (
        name TEXT PRIMARY KEY, project TEXT NOT NULL, declared TEXT NOT NULL, created_at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE containers (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, project TEXT NOT NULL, service TEXT NOT NULL,
        declared TEXT NOT NULL, image_digest TEXT NOT NULL, phase TEXT NOT NULL, superseded_by TEXT,
        wanted TEXT NOT NULL DEFAULT 'stopped', boot_id TEXT NOT NULL DEFAULT '', pid INTEGER, pid_start INTEGER,
        started_at TEXT, finished_at TEXT, exit_code INTEGER, restarts INTEGER NOT NULL DEFAULT 0,
        created_at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE health (
        container_id TEXT PRIMARY KEY, status TEXT NOT NULL, failing_streak INTEGER NOT NULL,
        last_output TEXT NOT NULL, checked_at TEXT NOT NULL
    ) STRICT;
    CREATE INDEX containers_project ON containers (project);
    """,
    """
    CREATE TABLE last_addresses (
        network TEXT NOT NULL, container TEXT NOT NULL, address TEXT NOT NULL,
        PRIMARY KEY (network, container)
    ) STRICT;
    """,
    """
    CREATE TABLE bundles (
        container_id TEXT PRIMARY KEY, facts TEXT NOT NULL, config TEXT NOT NULL
    ) STRICT;
    """,
    """
    CREATE TABLE shared_ports (
        host_ip TEXT NOT NULL, published INTEGER NOT NULL, protocol TEXT NOT NULL, container_id TEXT NOT NULL,
        target INTEGER NOT NULL, address TEXT NOT NULL,
        PRIMARY KEY (host_ip, published, protocol, container_id)
    ) STRICT;
    INSERT INTO shared_ports SELECT host_ip, published, protocol, container_id, target, address FROM ports;
    DROP TABLE ports;
    ALTER TABLE shared_ports RENAME TO ports;
    CREATE INDEX ports_container ON ports (container_id);
    CREATE TABLE last_ports (
        container TEXT NOT NULL, host_ip TEXT NOT NULL, protocol TEXT NOT NULL, target INTEGER NOT NULL,
        published INTEGER NOT NULL, PRIMARY KEY (container, host_ip, protocol, target, published)
    ) STRICT;
    """,
    """
    CREATE INDEX endpoints_network ON endpoints (network);
    CREATE INDEX leases_owner ON leases (owner);
    """,
    """
    ALTER TABLE networks ADD COLUMN subnet6 TEXT NOT NULL DEFAULT '';
    ALTER TABLE networks ADD COLUMN gateway6 TEXT NOT NULL DEFAULT '';
    ALTER TABLE endpoints ADD COLUMN address6 TEXT NOT NULL DEFAULT '';
    ALTER TABLE endpoints ADD COLUMN interface TEXT NOT NULL DEFAULT '';
    """,
    """
    ALTER TABLE containers ADD COLUMN joined TEXT NOT NULL DEFAULT '';
    """,
    """
    ALTER TABLE networks ADD COLUMN parent_made INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE endpoints ADD COLUMN asked TEXT NOT NULL DEFAULT '';
    """,
    """
    CREATE TABLE kept_images (
        owner TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (owner, digest)
    ) STRICT;
    """,
    """
    CREATE TABLE last_ranges (
        network TEXT PRIMARY KEY, subnet TEXT NOT NULL, subnet6 TEXT NOT NULL
    ) STRICT;
    """,
)
