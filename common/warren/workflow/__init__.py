"""Workflows: jobs that depend on each other, declared as values and started by a producer."""

from warren.workflow.building import Node, Step, Workflow
from warren.workflow.canvas import chain, chord, group
from warren.workflow.states import NodeState, OnFailure, WorkflowState

__all__ = ["Node", "NodeState", "OnFailure", "Step", "Workflow", "WorkflowState", "chain", "chord", "group"]
