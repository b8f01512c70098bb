"""The jobs as Taskiq's tasks: coroutines where they do not compute, which is its native and quicker form."""

from benchmarks.jobs import work
from benchmarks.site import Site
from taskiq_aio_pika import AioPikaBroker, Exchange, Queue
from taskiq_aio_pika.queue import QueueType

_site = Site.here()
_qos = {} if _site.prefetch is None else {"qos": _site.prefetch}
broker = AioPikaBroker(
    _site.url,
    exchange=Exchange(name=f"{_site.space}.taskiq", durable=True),
    task_queues=[Queue(name=f"{_site.space}.taskiq", type=QueueType(_site.queue_type))],
    dead_letter_queue=Queue(name=f"{_site.space}.taskiq.dead"),
    **_qos,
)


@broker.task(task_name="nothing")
async def nothing(payload: str) -> None:
    work.nothing(payload)


@broker.task(task_name="late")
async def late(sent: float, payload: str) -> None:
    work.late(sent, payload)


spin = broker.task(task_name="spin")(work.spin)
