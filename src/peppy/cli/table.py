"""Box tables as in docs/reference/cli.md, `stack list`: cells are never cut, wide glyphs count two columns."""

from collections.abc import Sequence

from peppy.cli.terminal import display_width, padded

Row = Sequence[str]

INDENT = "  "
"""Before a cell that stands below its row."""


def box(header: Row, groups: Sequence[Sequence[Row]], *, right: frozenset[int] = frozenset()) -> list[str]:
    """The lines of a table; groups of rows are divided by a rule. `right` are the columns with numbers."""
    widths = column_widths([header, *(row for group in groups for row in group)])
    lines = [_rule("┌┬┐", widths), cells(header, widths, right=right)]
    for group in groups:
        lines.append(_rule("├┼┤", widths))
        lines += [cells(row, widths, right=right) for row in group]
    return [*lines, _rule("└┴┘", widths)]


def box_with_lines_below(
    header: Row, groups: Sequence[Sequence[Row]], columns: int, *, right: frozenset[int] = frozenset()
) -> list[str]:
    """A table for narrow terminals: the cells after the first `columns` stand on lines of their own below them."""
    rows = [header, *(row for group in groups for row in group)]
    widths = column_widths([row[:columns] for row in rows])
    below = max(display_width(cell) + len(INDENT) for row in rows for cell in row[columns:])
    widths[-1] += max(0, below - _inner(widths))
    lines = [_rule("┌┬┐", widths), *_row_with_lines_below(header, widths, right)]
    for group in groups:
        lines.append(_rule("├┼┤", widths))
        for row in group:
            lines += _row_with_lines_below(row, widths, right)
    return [*lines, _rule("└┴┘", widths)]


def first_that_fits(tables: Sequence[list[str]], terminal_columns: int | None) -> list[str]:
    """The first of tables of the same content, widest first, that a terminal can show; the last when none can.

    `terminal_columns` is None where the output is no terminal.
    """
    if terminal_columns is None:
        return tables[0]
    return next((table for table in tables if display_width(table[0]) <= terminal_columns), tables[-1])


def column_widths(rows: Sequence[Row]) -> list[int]:
    """The columns that each cell position needs."""
    return [max(map(display_width, column)) for column in zip(*rows, strict=True)]


def cells(row: Row, widths: Sequence[int], *, right: frozenset[int] = frozenset()) -> str:
    """One line of a table."""
    placed = [
        " " * (width - display_width(cell)) + cell if place in right else padded(cell, width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return f"│ {' │ '.join(placed)} │"


def _row_with_lines_below(row: Row, widths: Sequence[int], right: frozenset[int]) -> list[str]:
    """A row that only continues the one before it, with blank cells, has no line but those below."""
    inner, columns = _inner(widths), len(widths)
    first = [cells(row[:columns], widths, right=right)] if any(row[:columns]) else []
    return [*first, *(f"│ {padded(INDENT + cell, inner)} │" for cell in row[columns:])]


def _inner(widths: Sequence[int]) -> int:
    return sum(widths) + 3 * (len(widths) - 1)


def _rule(ends: str, widths: Sequence[int]) -> str:
    left, cross, right = ends
    return left + cross.join("─" * (width + 2) for width in widths) + right
