"""The least rights on the broker that each kind of user needs, as RabbitMQ's three patterns."""

import re
import shlex
from dataclasses import dataclass

from warren.topology import Names

_NOTHING = "^$"
_DELAYS = r"delay\.(\d\d|ready)"


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
    """Return the rights of producers, workers, schedulers, recorders, operators and administrators; only these declare (declare = true)."""
    space = re.escape(names.namespace)
    return (*_of_producers(space), *_of_others(space))


def _of_producers(space: str) -> tuple[Rights, ...]:
    return (
        Rights("producer", _NOTHING, rf"^{space}\.(jobs|{_DELAYS})$", _NOTHING),
        Rights(
            "producer that waits for results",
            rf"^{space}\.reply\.",
            rf"^{space}\.(jobs|results|{_DELAYS}|reply\..+)$",
            rf"^{space}\.(results|reply\..+)$",
        ),
        Rights(
            "producer that waits and cancels",
            rf"^{space}\.reply\.",
            rf"^{space}\.(jobs|results|control|{_DELAYS}|reply\..+)$",
            rf"^{space}\.(results|control|reply\..+)$",
        ),
        Rights(
            "producer that starts workflows as well",
            rf"^{space}\.reply\.",
            rf"^{space}\.(jobs|results|control|workflows|{_DELAYS}|reply\..+)$",
            rf"^{space}\.(results|control|reply\..+)$",
        ),
    )


def _of_others(space: str) -> tuple[Rights, ...]:
    everything = rf"^{space}\."
    return (
        Rights(
            "worker",
            rf"^{space}\.control\.",
            rf"^{space}\.(jobs|results|dead|workers|events|control(\..+)?|{_DELAYS})$",
            rf"^{space}\.(queue\..+|control(\..+)?)$",
        ),
        Rights(
            "scheduler",
            rf"^{space}\.(reply|scheduler)\.",
            rf"^{space}\.(jobs|results|dead|control|workflows|scheduler\..+|{_DELAYS}|reply\..+)$",
            rf"^{space}\.(results|control|workflows|schedules|scheduler\..+|reply\..+)$",
        ),
        Rights(
            "recorder",
            rf"^{space}\.(history$|recorder\.)",
            rf"^{space}\.(history$|events$|recorder\.)",
            rf"^{space}\.(history|copies|results|events|recorder\..+)$",
        ),
        Rights(
            "operator (warren dead, result, cancel, queues, workers, workflows)",
            rf"^{space}\.reply\.",
            rf"^{space}\.(jobs|results|dead|workers|control|workflows|{_DELAYS}|reply\..+)$",
            everything,
        ),
        Rights("administrator, or anybody with declare = true", everything, everything, everything),
    )
