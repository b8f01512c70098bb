"""Workflows: jobs that depend on each other, declared as values and started by a producer."""
