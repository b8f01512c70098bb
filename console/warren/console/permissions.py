"""The least rights on the broker that each kind of user needs, as RabbitMQ's three patterns."""

import re
import shlex
from dataclasses import dataclass

from warren.topology import Names

_NOTHING = "^$"


@dataclass(frozen=True, slots=True)
class Rights:
    """What one kind of user may do; `who` says which kind."""

    who: str
    configure: str
    write: str
    read: str

    def command(self, vhost: str, user: str) -> str:
        """Return the line that gives these rights to a user."""
        patterns = " ".join(f"'{pattern}'" for pattern in (self.configure, self.write, self.read))
        return f"rabbitmqctl set_permissions -p {shlex.quote(vhost)} {user} {patterns}"


def least(names: Names) -> tuple[Rights, ...]:
    """Return the rights of producers, workers, operators and administrators; only these declare (declare = true)."""
    space = re.escape(names.namespace)
    delays = r"delay\.(\d\d|ready)"
    everything = rf"^{space}\."
    return (
        Rights("producer", _NOTHING, rf"^{space}\.(jobs|{delays})$", _NOTHING),
        Rights(
            "producer that waits for results",
            rf"^{space}\.reply\.",
            rf"^{space}\.(jobs|results|{delays}|reply\..+)$",
            rf"^{space}\.(results|reply\..+)$",
        ),
        Rights(
            "producer that waits and cancels",
            rf"^{space}\.reply\.",
            rf"^{space}\.(jobs|results|control|{delays}|reply\..+)$",
            rf"^{space}\.(results|control|reply\..+)$",
        ),
        Rights(
            "worker",
            rf"^{space}\.control\.",
            rf"^{space}\.(jobs|results|dead|workers|control(\..+)?|{delays})$",
            rf"^{space}\.(queue\..+|control(\..+)?)$",
        ),
        Rights(
            "operator (warren dead, result, cancel, queues, workers)",
            rf"^{space}\.reply\.",
            rf"^{space}\.(jobs|results|dead|workers|control|{delays}|reply\..+)$",
            everything,
        ),
        Rights("administrator, or anybody with declare = true", everything, everything, everything),
    )
