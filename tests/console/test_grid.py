"""Tables for a terminal of a given size."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from warren.console.grid import Column, cut, grid, shares

COLUMNS = (
    Column("name", least=4),
    Column("count", right=True),
    Column("note", spare=1),
    Column("more", least=3, spare=2),
)
ROWS = [("a" * 10, "7", "n" * 8, "m" * 20), ("b", "1,000", "", "")]


def test_where_there_is_room_nothing_is_cut() -> None:
    found = grid(COLUMNS, ROWS, 200)
    assert found.heading == "name        count  note      more"
    assert found.lines == (f"{'a' * 10}      7  {'n' * 8}  {'m' * 20}", "b           1,000")
    assert found.omitted == ()


def test_where_it_is_narrow_cells_are_cut_that_may_be_and_then_columns_left_out() -> None:
    narrow = grid(COLUMNS, ROWS, 34)
    assert narrow.lines[0] == "aaaaaa…      7  nnnnnnnn  mmmmmmm…"
    assert narrow.omitted == ()
    found = grid(COLUMNS, ROWS, 20)
    assert found.heading.split() == ["name", "count"]
    assert found.omitted == ("note", "more")


def test_a_column_that_may_be_left_out_and_says_nothing_is_not_there() -> None:
    found = grid(COLUMNS, [("a", "1", "", "m")], 200)
    assert found.heading.split() == ["name", "count", "more"]
    assert found.omitted == ()


def test_control_characters_and_line_ends_do_not_break_the_table() -> None:
    (line,) = grid((Column("said"),), [("a\nb\x1b[31m\tc",)], 80).lines
    assert line == "a b\\x1b[31m c"


texts = st.text(max_size=30)


@given(st.lists(st.tuples(texts, texts, texts, texts), max_size=5), st.integers(1, 120))
def test_no_line_is_wider_than_the_terminal(rows: list[tuple[str, ...]], width: int) -> None:
    found = grid(COLUMNS, rows, width)
    assert all(cell_len(line) <= width for line in (found.heading, *found.lines))
    assert len(found.lines) == len(rows)


@given(texts, st.integers(0, 40))
def test_a_text_that_is_cut_says_so(text: str, width: int) -> None:
    assert cell_len(cut(text, width)) <= width
    assert cut(text, width) == text or width == 0 or cut(text, width).endswith("…")


@given(st.lists(st.integers(0, 50), max_size=5), st.integers(-5, 100))
def test_shares_are_what_is_needed_or_as_even_as_may_be(needs: list[int], room: int) -> None:
    given_ = shares(needs, room)
    assert sum(given_) == min(sum(needs), max(0, room))
    assert all(got <= need for got, need in zip(given_, needs, strict=True))
    hungry = [got for got, need in zip(given_, needs, strict=True) if got < need]
    assert not hungry or max(given_) <= min(hungry) + 1
