"""Records of the native core: one SQLite file, crash-safe, one schema with migrations."""

from bayplan.runtime.native.state.database import Database

__all__ = ["Database"]
