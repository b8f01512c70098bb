"""/metrics, /livez and /readyz on one port, from a thread of their own: they answer also when the daemon's loop does not turn.

The server is the standard library's, the metrics application prometheus-client's.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from warren.errors import StartError
from warren.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_BEAT_SECONDS = 1.0
_STUCK_SECONDS = 10.0
"""A loop that has not turned for that long is not alive; it never does more than I/O."""


class Health:
    """What the daemon says of itself; written by its loop, read by the server's threads."""

    def __init__(self) -> None:
        self._beat = time.monotonic()
        self.not_ready: str = "starting"
        """Why it is not ready; empty when it is."""

    def beat(self) -> None:
        """Say that the loop turns."""
        self._beat = time.monotonic()

    async def keep_beating(self) -> None:
        """Say so every second, until cancelled."""
        while True:
            self.beat()
            await asyncio.sleep(_BEAT_SECONDS)

    @property
    def stuck(self) -> str:
        """Why it is not alive; empty when it is."""
        silent = time.monotonic() - self._beat
        return f"the event loop has not turned for {silent:.0f} s" if silent > _STUCK_SECONDS else ""


class HttpServer:
    """Serves one registry and one health."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, health: Health) -> None:
        try:
            self._server = make_server(host, port, _application(registry, health), _Server, _Handler)
        except OSError as error:
            raise StartError(
                f"cannot serve metrics on {host}:{port}: {error.strerror}; choose another port with --http-port, 0 for any free one"
            ) from error
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="warren-http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve_http(settings: Settings, registry: CollectorRegistry, health: Health) -> HttpServer | None:
    """Serve by a daemon's settings; None when they want no server.

    Raises:
        StartError: the port cannot be had.
    """
    if settings.http_port < 0:
        return None
    return HttpServer(settings.http_host, settings.http_port, registry, health)


def _application(registry: CollectorRegistry, health: Health) -> "WSGIApplication":
    metrics: WSGIApplication = make_wsgi_app(registry)
    checks: dict[str, Callable[[], str]] = {
        "/livez": lambda: health.stuck,
        "/readyz": lambda: health.stuck or health.not_ready,
    }

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return metrics(environ, start_response)
        if path not in checks:
            start_response("404 Not Found", [_TEXT])
            return [b"there are /metrics, /livez and /readyz\n"]
        problem = checks[path]()
        start_response("503 Service Unavailable" if problem else "200 OK", [_TEXT])
        return [(problem or "ok").encode() + b"\n"]

    return application


_TEXT = ("Content-Type", "text/plain; charset=utf-8")


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
        """Not log: a probe every few seconds is no news."""
