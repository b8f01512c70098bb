"""What a broker says about itself."""

import asyncio
from typing import Any

import pytest
from tests.support import Broker

from warren.console import broker_facts
from warren.console.checkup import BrokerFacts
from warren.settings import Settings


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("3.10.8", (3, 10, 8)), ("4.3.0-rc.1", (4, 3, 0)), ("unknown", None), ("", None)],
    ids=["release", "candidate", "word", "nothing"],
)
def test_a_version_is_compared_by_its_numbers(version: str, numbers: tuple[int, ...] | None) -> None:
    assert broker_facts._numbers({"version": version}) == numbers


@pytest.mark.parametrize(
    ("queue", "seconds"),
    [
        ({}, None),
        ({"arguments": {"x-consumer-timeout": 5000}, "effective_policy_definition": {"consumer-timeout": 9000}}, 5.0),
        ({"arguments": {}, "effective_policy_definition": {"consumer-timeout": 9000}}, 9.0),
        ({"effective_policy_definition": {}}, None),
        ({"effective_policy_definition": []}, None),
    ],
    ids=["nothing", "argument", "policy", "other policy", "no policy"],
)
def test_a_consumer_timeout_is_the_arguments_else_the_policys(queue: dict[str, Any], seconds: float | None) -> None:
    assert broker_facts._timeout(queue) == seconds


def test_without_the_management_api_the_version_is_known_and_the_rest_is_not(broker: Broker) -> None:
    settings = Settings(url=broker.url, management_url="http://127.0.0.1:1")
    facts, why = asyncio.run(broker_facts.facts_of(settings))
    assert facts.version is not None
    assert facts.version >= (3, 10)
    assert facts.consumer_timeouts == {}
    assert "127.0.0.1:1" in why


def test_the_in_memory_broker_has_no_version() -> None:
    facts, _ = asyncio.run(broker_facts.facts_of(Settings(url="memory://x", management_url="http://127.0.0.1:1")))
    assert facts == BrokerFacts()
