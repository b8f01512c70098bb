"""Metrics of workflows."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from warren.conductor.ledger import Counts
from warren.events import Event
from warren.events_workflows import NodeEnded, WorkflowEnded, WorkflowStarted
from warren.workflow.states import WorkflowState

METRIC_NAMES = frozenset(
    {
        "warren_workflows",
        "warren_workflows_started_total",
        "warren_workflows_ended_total",
        "warren_workflow_results_total",
        "warren_workflows_behind_seconds",
    }
)


class ConductorMetrics:
    """An event subscriber.

    Args:
        registry: on which they are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._workflows = Gauge(
            "warren_workflows", "Workflows in the store by state, counted every minute.", ["state"], registry=registry
        )
        self._started = Counter("warren_workflows_started_total", "Workflows that were taken in.", registry=registry)
        self._ended = Counter(
            "warren_workflows_ended_total", "Workflows that ended, by state.", ["state"], registry=registry
        )
        self._results = Counter(
            "warren_workflow_results_total",
            "Ends of workflows' jobs that were heard: those that counted, and those that were second copies or too late.",
            ["counted"],
            registry=registry,
        )
        self._behind = Gauge(
            "warren_workflows_behind_seconds",
            "Age of the oldest message of the last batch when it was taken.",
            registry=registry,
        )

    def count(self, counts: Counts) -> None:
        """Show how many workflows there are in each state."""
        for state in WorkflowState:
            self._workflows.labels(state.value).set(counts.get(state, 0))

    def behind(self, seconds: float) -> None:
        """Show how far the leader is behind."""
        self._behind.set(seconds)

    def __call__(self, event: Event) -> None:
        match event:
            case WorkflowStarted():
                self._started.inc()
            case WorkflowEnded():
                self._ended.labels(event.state).inc()
            case NodeEnded():
                self._results.labels("yes" if event.taken else "no").inc()
            case _:
                pass
