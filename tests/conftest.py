"""Brokers for the tests: one for the session, one for a module that breaks it; and a namespace for each test."""

import http.client
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.store.postgres import PostgresServer
from tests.support import Broker, ExternalBroker, Management

from warren.console.private_broker import PrivateBroker, Server, Source, aloud, ensure_installed, version_root
from warren.store.database import Database


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that ask for a broker, so that `-m broker` finds them; run the fast ones first, what takes longest next."""
    for item in items:
        if {"broker", "own_broker"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.broker)
    items.sort(key=_cost)


def _cost(item: pytest.Item) -> int:
    """Pure tests, then those that break a broker or are slow, then those that use one.

    Files are run side by side: a long one that begins last would be waited for by all others.
    """
    names = set(getattr(item, "fixturenames", ()))
    if "own_broker" in names or item.get_closest_marker("slow"):
        return 1
    return 2 if item.get_closest_marker("broker") else 0


@pytest.fixture(scope="session")
def broker_source() -> Source:
    """Where the private brokers of this session come from; WARREN_TEST_BROKER (3.10, 4.3) chooses the version."""
    version = os.environ.get("WARREN_TEST_BROKER")
    root = version_root(version, aloud) if version else None
    return Server(root=root) if root else ensure_installed(aloud)


@pytest.fixture(scope="session")
def brokers_in_use() -> list[Broker]:
    """Every broker that runs now, for cleaning up."""
    return []


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest, brokers_in_use: list[Broker]) -> Iterator[Broker]:
    """The session's broker: the one at WARREN_TEST_URL or WARREN_URL, else a private one. Nobody stops it."""
    url = os.environ.get("WARREN_TEST_URL") or os.environ.get("WARREN_URL")
    if url:
        external = ExternalBroker.at(url, os.environ.get("WARREN_MANAGEMENT_URL"))
        brokers_in_use.append(external)
        yield external
    else:
        yield from run_private(request.getfixturevalue("broker_source"), brokers_in_use)


@pytest.fixture(scope="module")
def own_broker(broker_source: Source, brokers_in_use: list[Broker]) -> Iterator[PrivateBroker]:
    """A private broker for a module whose tests stop, kill or restart it."""
    yield from run_private(broker_source, brokers_in_use)


def run_private(source: Source, brokers_in_use: list[Broker]) -> Iterator[PrivateBroker]:
    private = PrivateBroker(source)
    try:
        private.start()
        brokers_in_use.append(private)
        yield private
    finally:
        if private in brokers_in_use:
            brokers_in_use.remove(private)
        private.close()


@pytest.fixture
def namespace(brokers_in_use: list[Broker]) -> Iterator[str]:
    """A namespace that nobody else uses; what was declared in it is deleted afterwards."""
    name = f"t{secrets.token_hex(4)}"
    yield name
    for used in brokers_in_use:
        management = Management(used)
        try:
            management.delete_all(name)
        except (OSError, http.client.HTTPException):
            continue  # the test left this broker stopped: nothing to clean, or nobody to ask
        finally:
            management.close()


# --- the store -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's PostgreSQL. Nobody stops it; whoever must makes a server of its own."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def migrated(postgres: PostgresServer) -> str:
    """A database with the store's tables, to be copied: migrating each anew would take longer."""
    name = postgres.make()
    made = Database(postgres.url(name))
    made.migrate()
    made.close()
    return name


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A store of one test in a file, without tables."""
    return f"sqlite:///{tmp_path / 'warren.db'}"


@pytest.fixture
def postgres_url(postgres: PostgresServer, migrated: str) -> Iterator[str]:
    """A store of one test in PostgreSQL, with tables."""
    name = postgres.make(migrated)
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """A store of one test, once in each kind of database; `migrate` has yet to be called, as every daemon does."""
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    """The same, opened, with its tables."""
    opened = Database(store_url)
    opened.migrate()
    yield opened
    opened.close()
