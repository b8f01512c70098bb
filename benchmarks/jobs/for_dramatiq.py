"""The jobs as Dramatiq's actors. The broker is set on import, as Dramatiq's workers want it."""

import dramatiq
from benchmarks.jobs import work
from benchmarks.site import Site
from dramatiq.brokers.rabbitmq import RabbitmqBroker

_site = Site.here()


class QuorumBroker(RabbitmqBroker):
    """Dramatiq has no setting for the type of its queues; this hook is where it builds their arguments."""

    def _build_queue_arguments(self, queue_name: str) -> dict[str, object]:
        return {**super()._build_queue_arguments(queue_name), "x-queue-type": _site.queue_type}


broker = QuorumBroker(url=_site.url, confirm_delivery=True)
dramatiq.set_broker(broker)
_queue = f"{_site.space}.dramatiq"

nothing = dramatiq.actor(work.nothing, queue_name=_queue)
late = dramatiq.actor(work.late, queue_name=_queue)
spin = dramatiq.actor(work.spin, queue_name=_queue)
