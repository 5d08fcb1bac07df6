"""Box tables as in docs/reference/cli.md, `stack list`: cells are never cut, wide glyphs count two columns."""

from collections.abc import Sequence

from peppy.cli.terminal import display_width, padded

Row = Sequence[str]


def box(header: Row, groups: Sequence[Sequence[Row]], *, right: frozenset[int] = frozenset()) -> list[str]:
    """The lines of a table; groups of rows are divided by a rule. `right` are the columns with numbers."""
    widths = column_widths([header, *(row for group in groups for row in group)])
    lines = [_rule("┌┬┐", widths), cells(header, widths)]
    for group in groups:
        lines.append(_rule("├┼┤", widths))
        lines += [cells(row, widths, right=right) for row in group]
    return [*lines, _rule("└┴┘", widths)]


def box_with_second_line(header: Row, rows: Sequence[Row]) -> list[str]:
    """A table whose last cell stands on a line of its own below the others, for terminals that are too narrow."""
    widths = column_widths([row[:-1] for row in [header, *rows]])
    inner = _inner(widths)
    widths[-1] += max(0, max(display_width(row[-1]) + 2 for row in [header, *rows]) - inner)
    inner = _inner(widths)
    lines = [_rule("┌┬┐", widths), *_two_lines(header, widths, inner)]
    lines.append(_rule("├┼┤", widths))
    for row in rows:
        lines += _two_lines(row, widths, inner)
    return [*lines, _rule("└┴┘", widths)]


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


def _two_lines(row: Row, widths: Sequence[int], inner: int) -> list[str]:
    return [cells(row[:-1], widths), f"│ {padded('  ' + row[-1], inner)} │"]


def _inner(widths: Sequence[int]) -> int:
    return sum(widths) + 3 * (len(widths) - 1)


def _rule(ends: str, widths: Sequence[int]) -> str:
    left, cross, right = ends
    return left + cross.join("─" * (width + 2) for width in widths) + right
