"""The management API: where it is, and what is said when it is not there."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from warren.console.management import Management, ManagementUnavailable, vhost_of
from warren.settings import Settings


@pytest.mark.parametrize(
    ("settings", "url", "vhost", "credentials"),
    [
        (Settings(), "http://127.0.0.1:15672", "%2F", "guest:guest"),
        (Settings(url="amqp://a:b%40c@rabbit:5673/my%20host"), "http://rabbit:15672", "my%20host", "a:b@c"),
        (Settings(url="amqps://a:b@rabbit/x"), "https://rabbit:15671", "x", "a:b"),
        (Settings(url="amqp://a:b@one/,amqp://a:b@two/"), "http://one:15672", "%2F", "a:b"),
        (Settings(url="amqp://a:b@[::1]:5672/"), "http://[::1]:15672", "%2F", "a:b"),
        (Settings(management_url="https://m:n@proxy/rabbit/"), "https://proxy/rabbit", "%2F", "m:n"),
        (Settings(management_url="http://other:1"), "http://other:1", "%2F", "guest:guest"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_is_derived_from_the_brokers_url_unless_it_is_set(
    settings: Settings, url: str, vhost: str, credentials: str
) -> None:
    found = Management.of(settings)
    assert (found.url, found.vhost) == (url, vhost)
    assert base64.b64decode(found._credentials).decode() == credentials


def test_a_url_without_a_path_means_the_vhost_named_slash() -> None:
    assert vhost_of(Settings(url="amqp://localhost")) == "/"
    assert vhost_of(Settings(url="amqp://localhost/a%2Fb")) == "a/b"


@pytest.fixture
def answer() -> Iterator[tuple[str, dict[str, tuple[int, bytes]]]]:
    """A server that answers what is put under a path; its URL and its answers."""
    answers: dict[str, tuple[int, bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, b"{}"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", answers
        server.shutdown()
        thread.join()


Answer = tuple[str, dict[str, tuple[int, bytes]]]


def test_only_queues_of_the_prefix_are_returned(answer: Answer) -> None:
    url, answers = answer
    answers["/api/queues/%2F"] = (200, json.dumps([{"name": "a.x"}, {"name": "b.x"}]).encode())
    assert Management.of(Settings(management_url=url)).queues("a.") == [{"name": "a.x"}]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [(401, b"{}", "set_user_tags"), (404, b"{}", "no such vhost"), (500, b"", "500"), (200, b"<html>", "malformed")],
)
def test_a_refusal_says_where_and_what_to_do(answer: Answer, status: int, body: bytes, said: str) -> None:
    url, answers = answer
    answers["/api/overview"] = (status, body)
    with pytest.raises(ManagementUnavailable, match=said) as raised:
        Management.of(Settings(management_url=url)).get("overview", dict)
    assert url in str(raised.value)


def test_the_environments_proxy_is_not_asked(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    url, answers = answer
    answers["/api/overview"] = (200, b"{}")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert Management.of(Settings(management_url=url)).get("overview", dict) == {}


def test_nobody_there_is_told_with_the_url() -> None:
    with pytest.raises(ManagementUnavailable, match=r"http://127\.0\.0\.1:1 does not answer"):
        Management.of(Settings(management_url="http://127.0.0.1:1")).get("overview", dict)
