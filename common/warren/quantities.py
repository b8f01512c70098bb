"""Values of settings as people write them: `512MiB`, `2..16`."""

import re

_UNITS = {
    "": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("KMGT", 1)},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", 1)},
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def size(text: str) -> int:
    """Return bytes, of a number with or without a unit.

    Raises:
        ValueError: with what to write instead.
    """
    found = _SIZE.fullmatch(text)
    unit = found and next((factor for name, factor in _UNITS.items() if name.lower() == found[2].lower()), None)
    if not found or unit is None:
        raise ValueError(f"{text!r} is no size: take bytes, or a number with one of {', '.join(list(_UNITS)[1:])}")
    return int(float(found[1]) * unit)


def bounds(processes: int | str) -> tuple[int, int]:
    """Return the least and the most of a number of processes, `N` or `MIN..MAX`.

    Raises:
        ValueError: with what to write instead.
    """
    least, dots, most = str(processes).partition("..")
    try:
        found = int(least), int(most if dots else least)
    except ValueError:
        found = -1, -1
    if not (0 <= found[0] <= found[1]) or (dots and found[0] < 1):
        raise ValueError(f"{processes!r} is no number of processes: take N, or MIN..MAX with 1 <= MIN <= MAX")
    return found


def processes(text: str) -> int | str:
    """Return a number of processes as it is kept in the settings: a number, or `MIN..MAX`.

    Raises:
        ValueError: with what to write instead.
    """
    least, most = bounds(text)
    return f"{least}..{most}" if ".." in text else least
