"""structlog without rich, until rich is really to draw something.

structlog imports rich for the tracebacks of its console renderer: with pygments and attrs 5 MB and 30 ms in every process
that logs, and JSON needs none of it. So while structlog is imported stand-ins are in rich's place, and what it takes from
them is looked up in the real rich when it is used. `logs` imports this before anything else imports structlog; `logs` itself
is only imported in processes that are Warren's own, and not in applications, whose threads may just be importing rich.
"""

import sys
from importlib import import_module
from pkgutil import resolve_name
from types import ModuleType
from typing import Any

__all__ = ["structlog"]

_PLACES = ("rich", "rich.console", "rich.pretty", "rich.traceback")
"""What structlog imports."""


class _Late:
    """Something that is imported when it is used."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return resolve_name(self._path)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(resolve_name(self._path), name)


class _StandIn(ModuleType):
    """A module of which everything is imported late."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Late(f"{self.__name__}.{name}")


def _import_structlog() -> None:
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules.update({place: _StandIn(place) for place in _PLACES})
    try:
        import_module("structlog")
    finally:
        for place in _PLACES:
            del sys.modules[place]


_import_structlog()
import structlog  # noqa: E402
