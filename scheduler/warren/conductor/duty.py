"""The leader's duty to move workflows, as the scheduler's daemon has it in its list."""

from warren import topology
from warren.amqp.seam import Connection
from warren.conductor.conductor import Conductor
from warren.conductor.ledger import Ledger
from warren.conductor.metrics import ConductorMetrics
from warren.conductor.sweeping import OVERDUE_SECONDS, Sweeper
from warren.declaring import declare_each
from warren.rebuilding import Life
from warren.scheduler.duties import Running
from warren.service.leadership import HEARTBEAT_SECONDS
from warren.service.lives import Lives
from warren.service.service import Service
from warren.store.database import Database


class Conducting:
    """Moves workflows; see `warren.scheduler.duties.Duty`.

    Args:
        service: whose settings, events and store thread are used.
        database: the store, with its tables when this starts.
        metrics: of workflows.
        overdue_seconds: after which a node's result may have been lost.
    """

    def __init__(
        self,
        service: Service,
        database: Database,
        metrics: ConductorMetrics,
        *,
        overdue_seconds: float = OVERDUE_SECONDS,
    ) -> None:
        self._overdue_seconds = overdue_seconds
        self._service = service
        self._database = database
        self._metrics = metrics

    async def start(self, leading: Connection) -> Life:
        """Begin; see `Duty`."""
        service = self._service
        async with Lives() as lives:
            # When this process hangs, what it has taken goes to the next leader as soon as the lead does.
            consuming = await service.connect("conducting", HEARTBEAT_SECONDS)
            lives.add(consuming)
            if service.settings.declare:
                items = (*topology.base(service.names), *topology.workflows(service.names))
                await declare_each(consuming, *items, who="scheduler")
            ledger = Ledger(self._database, service.settings.payload_limit)
            conductor = Conductor(service, ledger, consuming, leading, self._metrics.behind)
            count, overdue = self._metrics.count, self._overdue_seconds
            sweeper = Sweeper(service, ledger, conductor, consuming, count, overdue_seconds=overdue)
            lives.add(Running(conductor.work(), "moving workflows"))
            lives.add(Running(sweeper.work(), "sweeping workflows"))
            return lives
