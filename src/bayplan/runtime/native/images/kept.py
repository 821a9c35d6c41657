"""Images that stay although no name and no container needs them: those of generations that can be gone back to."""

from __future__ import annotations

from collections.abc import Collection

from bayplan.runtime.native.state import Database


class KeptImages:
    """Digests by who keeps them (a project), in the record."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def replace(self, owner: str, digests: Collection[str]) -> None:
        """Keep these for an owner, and none that it kept before."""
        with self._database.transaction() as tx:
            tx.execute("DELETE FROM kept_images WHERE owner = ?", (owner,))
            rows = [(owner, digest) for digest in sorted(digests)]
            tx.executemany("INSERT INTO kept_images (owner, digest) VALUES (?, ?)", rows)

    def all(self) -> frozenset[str]:
        """Everybody's."""
        return frozenset(str(row[0]) for row in self._database.query("SELECT DISTINCT digest FROM kept_images"))
