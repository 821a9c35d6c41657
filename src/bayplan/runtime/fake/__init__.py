"""An engine in memory, for tests of programs that use Bayplan. It does nothing to the host."""

from bayplan.runtime.fake.engine import FakeRuntime

__all__ = ["FakeRuntime"]
