"""RabbitMQ's HTTP API, as far as commands need it: what cannot be seen over AMQP."""

import base64
import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

import msgspec

from warren.errors import WarrenError
from warren.settings import Settings

T = TypeVar("T")

_TIMEOUT_SECONDS = 5.0
_PORT = 15672
_TLS_PORT = 15671
_DENIED = (401, 403)
_ABSENT = 404


class ManagementUnavailable(WarrenError):
    """RabbitMQ's HTTP API did not answer, or not to us."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"the management API at {url} does not answer: {why}")
        self.url = url


@dataclass(frozen=True, slots=True)
class Management:
    """The API of one broker, for one vhost.

    Attributes:
        url: without credentials; fit to be shown.
        vhost: of the broker's URL, quoted for a path.
    """

    url: str
    vhost: str
    _credentials: str

    @classmethod
    def of(cls, settings: Settings) -> "Management":
        """Return the API of the first broker; without `management_url` it is expected on the broker's own host."""
        broker = urlsplit(settings.urls[0])
        secure = broker.scheme == "amqps"
        derived = f"{'https' if secure else 'http'}://{_host(broker.hostname)}:{_TLS_PORT if secure else _PORT}"
        api = urlsplit(settings.management_url or derived)
        user, password = (api.username, api.password) if api.username else (broker.username, broker.password)
        credentials = f"{unquote(user or 'guest')}:{unquote(password or 'guest')}"
        port = f":{api.port}" if api.port else ""
        return cls(
            f"{api.scheme}://{_host(api.hostname)}{port}{api.path.rstrip('/')}",
            quote(vhost_of(settings), safe=""),
            base64.b64encode(credentials.encode()).decode(),
        )

    def get(self, path: str, as_type: type[T]) -> T:
        """Return what the API says below `/api/`.

        Raises:
            ManagementUnavailable: no answer, or none that fits.
        """
        # No proxy of the environment: it would be asked for our own loopback address.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(  # noqa: S310 - a URL of the settings
            f"{self.url}/api/{path}", headers={"Authorization": f"Basic {self._credentials}"}
        )
        try:
            with opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                return msgspec.json.decode(answer.read(), type=as_type)
        except urllib.error.HTTPError as error:
            error.close()
            raise ManagementUnavailable(self.url, _refusal(error)) from error
        except (OSError, http.client.HTTPException, msgspec.MsgspecError, ValueError) as error:
            raise ManagementUnavailable(self.url, str(getattr(error, "reason", error))) from error

    def queues(self, prefix: str) -> list[dict[str, Any]]:
        """Return the queues whose names begin so; their numbers are up to five seconds old."""
        found = self.get(f"queues/{self.vhost}", list[dict[str, Any]])
        return [queue for queue in found if str(queue.get("name", "")).startswith(prefix)]

    def bindings(self) -> frozenset[tuple[str, str, str]]:
        """Return all bindings as source, target, key."""
        found = self.get(f"bindings/{self.vhost}", list[dict[str, Any]])
        return frozenset((one["source"], one["destination"], one["routing_key"]) for one in found)


def vhost_of(settings: Settings) -> str:
    """Return the virtual host of the first broker's URL."""
    return unquote(urlsplit(settings.urls[0]).path[1:]) or "/"


def _host(name: str | None) -> str:
    host = name or "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _refusal(error: urllib.error.HTTPError) -> str:
    if error.code in _DENIED:
        return (
            f"{error.code} {error.reason} (the user needs a tag: `rabbitmqctl set_user_tags USER monitoring`, "
            "and the plugin must be enabled)"
        )
    if error.code == _ABSENT:
        return f"{error.code} {error.reason} (no management API there, or no such vhost)"
    return f"{error.code} {error.reason}"
