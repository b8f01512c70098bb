"""Workers that were lost with a job: the broker counts them, and they count towards its `max_crashes`. Pure.

RabbitMQ 4.3 counts what is meant here, deliveries whose connection or channel went away, apart from those that were given back.
Before, it counts both as one, and nobody shall be charged with having been given back: there, the queue's delivery limit alone
ends a job that takes its workers along.
"""

from warren.amqp.seam import Delivery

_FAILED = "x-delivery-count"
_ALL = "x-acquired-count"
"""Only RabbitMQ 4.3 and newer say how often a message was handed out for whatever reason."""


def workers_lost(delivery: Delivery) -> int:
    """Return how many workers, or their connections, are known to have been lost with this job."""
    if not delivery.redelivered:
        return 0  # such a header would be the publisher's own
    headers = delivery.message.headers
    failed = headers.get(_FAILED)
    if _ALL not in headers or not isinstance(failed, int) or isinstance(failed, bool):
        return 0
    return max(0, failed)


def told(lost: int, crashes: int) -> str:
    """Return what a job died of whose workers were lost.

    Args:
        lost: workers.
        crashes: how often its process had died under it before.
    """
    also = f", after it had ended its process {_times(crashes)}" if crashes else ""
    return f"its worker was lost {_times(lost)} while it had this job{also}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
