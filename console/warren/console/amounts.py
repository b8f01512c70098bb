"""Durations, sizes and rates as a human reads them in a column."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024
_SMALL = 10


def span(seconds: float) -> str:
    """Return a duration as `14s`, `4m10s`, `2h05m`, `3d04h`."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR:02}h"


def size(count: int) -> str:
    """Return bytes as `512 B`, `1.5 MiB`, `38 MiB`; nothing for none."""
    if count <= 0:
        return ""
    value, unit = float(count), 0
    while value >= _STEP - 0.5 and unit < len(_UNITS) - 1:
        value, unit = value / _STEP, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit and value < _SMALL - 0.05 else f"{value:.0f} {_UNITS[unit]}"


def rate(value: float | None) -> str:
    """Return a rate as `0.3`, `12.5`, `8,550`; nothing when it is not known."""
    if value is None:
        return ""
    return f"{value:,.1f}" if value < _SMALL * _SMALL else f"{value:,.0f}"
