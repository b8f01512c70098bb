"""The name and the ports of a private broker; they stay with its folder, because its data belongs to its name."""

import json
import random
import secrets
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path

_FILE = "identity.json"
_LOWEST_PORT = 10_240


@dataclass(frozen=True, slots=True)
class Ports:
    """All on 127.0.0.1."""

    amqp: int
    management: int
    prometheus: int
    distribution: int
    epmd: int


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a private broker is."""

    name: str
    ports: Ports


def identity_of(folder: Path) -> Identity:
    """Return the identity kept in this folder, or a new one, which is then kept."""
    try:
        kept = json.loads((folder / _FILE).read_text())
        return Identity(kept["name"], Ports(**kept["ports"]))
    except (OSError, ValueError, KeyError, TypeError):
        return _keep(Identity(f"warren-{secrets.token_hex(4)}", _free_ports()), folder)


def with_free_ports(identity: Identity, folder: Path) -> Identity:
    """Return the identity of a broker that does not run, with other ports if somebody has taken one meanwhile."""
    if all(map(_is_free, asdict(identity.ports).values())):
        return identity
    return _keep(replace(identity, ports=_free_ports()), folder)


def _keep(identity: Identity, folder: Path) -> Identity:
    (folder / _FILE).write_text(json.dumps(asdict(identity), indent=2) + "\n")
    return identity


def _free_ports() -> Ports:
    """Return five ports that nobody uses now, below those that the system gives to outgoing connections.

    A client that reconnects while the broker is down could otherwise be given the broker's own port.
    """
    candidates = random.sample(range(_LOWEST_PORT, _first_outgoing_port()), 200)
    free = (port for port in candidates if _is_free(port))
    return Ports(*(next(free) for _ in range(5)))


def _first_outgoing_port() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        first = 32_768
    return first if first > _LOWEST_PORT + 1000 else 65_536


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
