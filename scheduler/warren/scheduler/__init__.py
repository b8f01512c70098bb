"""Schedules: declared in code or made at run time, kept in the store, fired by whichever scheduler leads."""

from warren.scheduler.schedules import Schedules

__all__ = ["Schedules"]
