"""Metrics that every daemon has that is no worker; those of its connection are named as a worker's."""

import platform

from prometheus_client import CollectorRegistry, Counter, Gauge

from warren.events import BrokerConnected, BrokerLost, Event, Leading, StandingBy
from warren.metrics import package_version

METRIC_NAMES = frozenset(
    {"warren_broker_connected", "warren_broker_reconnects_total", "warren_build_info", "warren_leading"}
)


class ServiceMetrics:
    """An event subscriber.

    Args:
        registry: on which they are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._connected = Gauge("warren_broker_connected", "1 while connected.", registry=registry)
        self._reconnects = Counter(
            "warren_broker_reconnects_total", "Times the broker connection was rebuilt.", registry=registry
        )
        self._leading = Gauge(
            "warren_leading", "1 while this daemon is the one of its kind that works.", registry=registry
        )
        info = Gauge(
            "warren_build_info", "Always 1; the versions are labels.", ["version", "python"], registry=registry
        )
        info.labels(package_version(), platform.python_version()).set(1)

    def __call__(self, event: Event) -> None:
        match event:
            case BrokerConnected():
                self._connected.set(1)
                if event.again:
                    self._reconnects.inc()
            case StandingBy():
                self._connected.set(1)
                self._leading.set(0)
            case Leading():
                self._leading.set(1)
            case BrokerLost():
                self._connected.set(0)
                self._leading.set(0)
            case _:
                pass
