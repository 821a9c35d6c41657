"""``healthcheck``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bayplan.models import Container, Duration, HealthCheck
from bayplan.runtime.engine_api.engine import Engine
from bayplan.runtime.engine_api.options.option import Gap, Option, build
from bayplan.runtime.engine_api.options.shape import Body, Shape
from bayplan.values import frozen


@frozen
class Health(Option):
    """The check, over the image's."""

    def write(self, wanted: Container, body: Body) -> None:
        """Durations in nanoseconds."""
        check = wanted.healthcheck
        if check is None:
            return
        made: dict[str, Any] = {"Test": list(check.test)} if check.test else {}
        for name, key in _PERIODS.items():
            if (period := getattr(check, name)) is not None:
                made[key] = period // Duration(microseconds=1) * 1000
        if check.retries is not None:
            made["Retries"] = check.retries
        body.config["Healthcheck"] = made

    def read(self, shape: Shape) -> Any:
        """What is not the image's."""
        image = shape.image.get("Healthcheck") or {}
        found = {
            key: value
            for key, value in (shape.config.get("Healthcheck") or {}).items()
            if value and value != image.get(key)
        }
        if not found:
            return None
        periods = {name: Duration(microseconds=found[key] // 1000) for name, key in _PERIODS.items() if key in found}
        retries = found.get("Retries")
        return build(HealthCheck, test=tuple(found.get("Test") or ()), retries=retries, **periods)

    def gaps(self, wanted: Container, engine: Engine) -> Iterator[Gap]:
        """Checks of their own rhythm at the start came late."""
        if wanted.healthcheck and wanted.healthcheck.start_interval is not None and not engine.speaks((1, 44)):
            yield "healthcheck.start_interval", f"it needs {engine.release((1, 44))}"


_PERIODS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start_period": "StartPeriod",
    "start_interval": "StartInterval",
}


OPTIONS: tuple[Option, ...] = (Health("healthcheck"),)
