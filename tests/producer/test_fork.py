"""A producer made and used before a fork serves parent and child, as under gunicorn --preload."""

import json
import subprocess
import sys
from pathlib import Path

import pika
from tests.support import Broker, eventually

from warren.amqp.seam import Message
from warren.job import from_message

ROOT = Path(__file__).parents[2]
COUNT = 50
SCRIPT = """
import json, os, sys
from tests.producer.hands import double, sessions
from warren.producer import Producer

url, namespace, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
producer = Producer(url=url, namespace=namespace)
ids = [producer.enqueue(double, 1).id]
before = sessions(producer)
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    made = [producer.enqueue(double, 2).id for _ in range(count)]
    os.write(writing, json.dumps(made).encode())
    os.close(writing)
    sys.exit(0)  # with everything that Python does at exit
os.close(writing)
ids += [producer.enqueue(double, 3).id for _ in range(count)]
with os.fdopen(reading) as pipe:
    ids += json.loads(pipe.read())
_, status = os.waitpid(child, 0)
ids += [producer.enqueue(double, 4).id]
same = sessions(producer) is before and before.alive
producer.close()
print(json.dumps({"ids": ids, "status": os.waitstatus_to_exitcode(status), "same": same}))
"""


def test_parent_and_child_both_enqueue_and_the_parent_keeps_its_connection(broker: Broker, namespace: str) -> None:
    command = [sys.executable, "-W", "error", "-c", SCRIPT, broker.url, namespace, str(COUNT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["status"], told["same"]) == (0, True), done.stderr
    assert len(set(told["ids"])) == 2 * COUNT + 2
    assert sorted(_drained(broker, f"{namespace}.queue.default", len(told["ids"]))) == sorted(told["ids"])


def _drained(broker: Broker, queue: str, count: int) -> list[str]:
    """Take all jobs off a queue; return their ids."""
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    channel = connection.channel()
    found: list[str] = []

    def take() -> bool:
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        if method is not None and properties is not None and body is not None:
            message = Message(body, message_id=properties.message_id, headers=properties.headers or {})
            found.append(from_message(message, "default", 0.0).id)
        return len(found) >= count

    try:
        eventually(take)
        assert channel.basic_get(queue, auto_ack=True)[0] is None
    finally:
        connection.close()
    return found
