"""What is counted of workflows."""

from prometheus_client import CollectorRegistry

from warren.conductor.metrics import METRIC_NAMES, ConductorMetrics
from warren.events_workflows import NodeEnded, WorkflowEnded, WorkflowStarted
from warren.workflow.states import WorkflowState


def test_workflows_and_ends_of_their_jobs_are_counted() -> None:
    registry = CollectorRegistry()
    metrics = ConductorMetrics(registry)
    metrics(WorkflowStarted("w", "etl", 3))
    metrics(NodeEnded("w", "a", "1", "done", taken=True))
    metrics(NodeEnded("w", "a", "1", "done", taken=False))
    metrics(WorkflowEnded("w", "etl", "failed", 1.0))
    metrics.count({WorkflowState.RUNNING: 7})
    metrics.behind(2.5)
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    assert found == {
        ("warren_workflows_started_total",): 1,
        ("warren_workflow_results_total", "yes"): 1,
        ("warren_workflow_results_total", "no"): 1,
        ("warren_workflows_ended_total", "failed"): 1,
        ("warren_workflows", "running"): 7,
        ("warren_workflows", "done"): 0,
        ("warren_workflows", "failed"): 0,
        ("warren_workflows", "cancelled"): 0,
        ("warren_workflows_behind_seconds",): 2.5,
    }
    assert {name for name, *_ in found} == METRIC_NAMES
