"""The jobs as Celery's tasks. An app is made on import, as Celery's workers want it."""

from benchmarks.jobs import work
from benchmarks.site import Site
from celery import Celery
from kombu import Queue

_site = Site.here()
app = Celery("benchmarks", broker=_site.url)
app.conf.update(
    broker_transport_options={"confirm_publish": True},
    task_queues=[Queue(f"{_site.space}.celery", queue_arguments={"x-queue-type": _site.queue_type})],
    task_default_queue=f"{_site.space}.celery",
    task_default_queue_type=_site.queue_type,
    task_acks_late=True,
    task_ignore_result=True,
    # Several deliveries a process are its default; one is what "prefetch 1" means here.
    **({} if _site.prefetch is None else {"worker_prefetch_multiplier": _site.prefetch}),
)

nothing = app.task(work.nothing, name="nothing")
late = app.task(work.late, name="late")
spin = app.task(work.spin, name="spin")
