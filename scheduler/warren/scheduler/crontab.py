"""Crontab lines as everybody writes them, into lines that APScheduler 3 reads in the same sense.

It counts weekdays from Monday = 0 where crontab counts from Sunday = 0 (agronholm/apscheduler#286), and takes a day that is
given by its date and by its weekday to be both, where crontab takes it to be either.
"""

import re
from collections.abc import Iterator

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_PART = re.compile(r"(?P<first>\*|\w+)(-(?P<last>\w+))?(/(?P<step>\d+))?")


def lines_of(line: str) -> tuple[str, ...]:
    """Return the lines that together mean what a crontab line means.

    Raises:
        ValueError: its weekdays are none; what else may be wrong with it is APScheduler's to say.
    """
    minute, hour, date, month, weekday = line.split()
    days = weekdays(weekday)
    if date.startswith("*") or weekday.startswith("*"):
        return (f"{minute} {hour} {date} {month} {days}",)
    return f"{minute} {hour} {date} {month} *", f"{minute} {hour} * {month} {days}"


def weekdays(field: str) -> str:
    """Return the fifth field with names instead of numbers, ranges and steps."""
    if field == "*":
        return field
    found = {day for part in field.split(",") for day in _named(part, field)}
    return ",".join(day for day in _DAYS if day in found)


def _named(part: str, field: str) -> Iterator[str]:
    match = _PART.fullmatch(part)
    if match is None:
        raise ValueError(f"{field!r} are no weekdays: take 0 to 7 or sun to sat, as '1-5' or 'mon,fri'")
    first, last, step = match["first"], match["last"], int(match["step"] or 1)
    if step == 0 or (first == "*" and last):
        raise ValueError(f"{field!r} are no weekdays: take 0 to 7 or sun to sat, as '1-5' or 'mon,fri'")
    begin = 0 if first == "*" else _number(first)
    end = _number(last) if last else 6 if first == "*" or match["step"] else begin
    if begin > end:
        end += 7  # from Friday to Monday, and up to a Sunday that is written as 7
    return (_DAYS[number % 7] for number in range(begin, end + 1, step))


def _number(word: str) -> int:
    if word.isdecimal() and int(word) <= 7:  # noqa: PLR2004 - Sunday, again
        return int(word)
    name = word.lower()[:3]
    if name in _DAYS:
        return _DAYS.index(name)
    raise ValueError(f"{word!r} is no weekday: take 0 to 7 or sun to sat")
