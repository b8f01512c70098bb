"""Workers that were lost with a job: they count towards its `max_crashes`. Pure.

RabbitMQ 4.3 tells deliveries whose connection went away from those that were given back. How many they were is not what we
want to know: when a broker stops, or comes back after a crash, it hands a job on from each consumer that is gone to the next,
and counts every time. So whoever gets such a job next writes one loss into it, and enqueues it again, which begins the broker's
count anew.

Before 4.3 nothing tells the two apart, and nobody shall be charged with having been given back: there, the queue's delivery
limit alone ends a job that takes its workers along.
"""

from msgspec.structs import replace

from warren.amqp.seam import Delivery
from warren.job import Job

LEAST_LOSSES = 2
"""A single loss never ends a job, whatever its `max_crashes`: a lost connection looks the same, and it may not have begun."""
_FAILED = "x-delivery-count"
_ALL = "x-acquired-count"
"""Only RabbitMQ 4.3 and newer say how often a message was handed out for whatever reason."""


def was_lost(delivery: Delivery) -> bool:
    """Tell whether a worker, or its connection, is known to have been lost with this message."""
    if not delivery.redelivered:
        return False  # such headers would be the publisher's own
    headers = delivery.message.headers
    failed = headers.get(_FAILED)
    return _ALL in headers and isinstance(failed, int) and failed > 0


def charged(job: Job) -> Job:
    """Return a job with one more loss written into it."""
    return replace(job, crashes=job.crashes + 1, losses=job.losses + 1)


def told(job: Job) -> str:
    """Return what a job died of whose worker was lost once too often."""
    crashes = job.crashes - job.losses
    also = f", after it had ended its process {_times(crashes)}" if crashes > 0 else ""
    return f"its worker or process was lost {_times(job.losses)} while it had this job{also}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
