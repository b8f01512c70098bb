"""The one clock: deciding code gets it from outside, so that tests choose the time."""

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds since the epoch."""

wall: Clock = time.time
