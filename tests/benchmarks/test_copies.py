import uuid

import pika
import pytest
from benchmarks.copies import copies, identity

ID, HEX = str(uuid.UUID(int=7)), uuid.UUID(int=7).hex


def properties(**values: object) -> pika.BasicProperties:
    return pika.BasicProperties(delivery_mode=2, **values)  # type: ignore[no-untyped-call]


RECORDED = {
    "warren": (properties(message_id=ID), b'{"task":"t"}'),
    "celery": (properties(correlation_id=ID, headers={"id": ID, "root_id": ID, "task": "t"}), b"[[],{}]"),
    "dramatiq": (properties(), f'{{"message_id":"{ID}"}}'.encode()),
    "taskiq": (properties(headers={"task_id": HEX}), f'{{"task_id":"{HEX}"}}'.encode()),
}


def ids(message: tuple[bytes, pika.BasicProperties]) -> str:
    body, having = message
    return f"{having.message_id} {having.correlation_id} {having.headers} {body.decode()}"


@pytest.mark.parametrize("system", RECORDED)
def test_every_copy_has_an_id_of_its_own_wherever_the_system_keeps_it(system: str) -> None:
    having, body = RECORDED[system]
    made = [ids((copied, changed)) for copied, changed in copies(having, body, 3)]
    old = identity(having, body)
    assert old in (ID, HEX)
    assert not [text for text in made if old in text]
    assert len(set(made)) == 3


@pytest.mark.parametrize("system", RECORDED)
def test_a_copy_is_as_long_and_as_durable_as_the_original(system: str) -> None:
    having, body = RECORDED[system]
    ((copied, changed),) = copies(having, body, 1)
    assert len(copied) == len(body)
    assert changed.delivery_mode == 2
    assert set(changed.headers or {}) == set(having.headers or {})


def test_a_job_without_an_id_is_copied_as_it_is() -> None:
    assert [body for body, _ in copies(properties(), b"{}", 2)] == [b"{}", b"{}"]
