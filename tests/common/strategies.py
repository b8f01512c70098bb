"""Random jobs, for property tests."""

import msgspec
from hypothesis import strategies as st

from warren.job import Body, Job
from warren.limits import Limits

MILLIS = 1000
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
raws = json_values.map(lambda value: msgspec.Raw(msgspec.json.encode(value)))
moments = st.integers(0, 4_000_000_000_000).map(lambda millis: millis / MILLIS)
counts = st.integers(0, 1000)
seconds = st.none() | st.integers(0, 10_000_000).map(lambda millis: millis / MILLIS)


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    items = draw(st.none() | st.lists(raws, max_size=4))
    indexes = None
    if items is not None and draw(st.booleans()):
        indexes = draw(st.lists(st.integers(0, 1000), min_size=len(items), max_size=len(items), unique=True))
    task = draw(texts.filter(bool))
    return Body(task, draw(st.lists(raws, max_size=3)), draw(st.dictionaries(texts, raws, max_size=3)), items, indexes)


limits = st.none() | st.builds(
    Limits, attempts=st.none() | st.integers(1, 100), timeout=seconds, max_crashes=st.none() | st.integers(1, 9)
)

jobs = st.builds(
    Job,
    id=st.uuids().map(str),
    body=bodies(),
    queue=st.from_regex(r"[a-z][a-z0-9.]{0,9}", fullmatch=True),
    attempt=st.integers(1, 1000),
    failures=counts,
    crashes=counts,
    losses=counts,
    last_error=texts,
    enqueued_at=moments,
    ready_at=moments,
    expires_at=st.none() | moments,
    deadline_at=st.none() | moments,
    priority=st.none() | st.integers(0, 9),
    reply_to=st.none() | texts.filter(bool),
    wants_result=st.booleans(),
    replays=counts,
    limits=limits,
    workflow=texts,
    foreign=st.dictionaries(
        st.from_regex(r"[a-w][a-v]{0,9}", fullmatch=True), texts | counts | st.booleans(), max_size=3
    ),
)


def plain(body: Body) -> object:
    """Return a body in a form that can be compared: raw JSON is equal only to itself."""
    return msgspec.json.decode(msgspec.json.encode(body))
