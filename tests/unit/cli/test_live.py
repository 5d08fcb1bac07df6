"""Live output: a moving region on a terminal, plain lines elsewhere, colours only where they are wanted."""

import io
import re

import pytest

from peppy.cli.live import LiveOutput
from peppy.cli.report import Report
from peppy.cli.terminal import coloured, cut, display_width, harmless, shortened
from peppy.protocol.frames import Output


class Terminal(io.StringIO):
    """A stream that says it is a terminal, and what it shows in the end."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """The lines that are left after all upward moves and erasures."""
        lines: list[str] = []
        for piece in re.split(r"(\x1b\[\d+F\x1b\[J|\n)", self.getvalue()):
            if move := re.fullmatch(r"\x1b\[(\d+)F\x1b\[J", piece):
                del lines[len(lines) - int(move[1]) :]
            elif piece != "\n" and piece:
                lines.append(piece)
        return lines


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    return Terminal()


def test_a_pipe_gets_every_line_as_it_is() -> None:
    stream = io.StringIO()
    live = LiveOutput(stream)
    for number in range(12):
        live.line(f"\x1b[32mline {number}")
    live.close()
    assert stream.getvalue().splitlines() == [f"\x1b[32mline {number}" for number in range(12)]


def test_a_terminal_shows_the_last_ten_lines(terminal: Terminal) -> None:
    live = LiveOutput(terminal)
    for number in range(25):
        live.line(f"line {number}")
    assert terminal.screen() == [f"  line {number}" for number in range(15, 25)]


def test_an_interrupt_takes_the_region_away_and_leaves_no_empty_line(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", terminal)
    report = Report("node build")

    def work() -> None:
        report.output(Output("stdout", "one\ntwo"))
        terminal.write("^C")
        raise KeyboardInterrupt

    assert report.conclude(work) == 130
    assert terminal.getvalue().endswith("  one\n  two\n^C\x1b[2F\x1b[J[ERROR] Aborted: interrupted\n")


def test_the_region_leaves_nothing_behind(terminal: Terminal) -> None:
    live = LiveOutput(terminal)
    live.line("one")
    live.close()
    live.close()
    assert terminal.screen() == []


def test_a_notice_stays_above_the_region(terminal: Terminal) -> None:
    live = LiveOutput(terminal)
    live.line("one")
    live.beside("[INFO] notice")
    live.line("two")
    assert terminal.screen() == ["[INFO] notice", "  one", "  two"]


def test_a_long_line_of_the_region_is_cut_to_the_terminal(terminal: Terminal) -> None:
    LiveOutput(terminal).line("結" * 60)
    (shown,) = terminal.screen()
    assert shown.endswith("…")
    assert display_width(shown) <= 39


def test_output_of_a_command_cannot_move_the_cursor_of_a_terminal(terminal: Terminal) -> None:
    LiveOutput(terminal).line("a\x1b[2Jb\rc")
    assert terminal.screen() == ["  a\\x1b[2Jb\\rc"]


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_are_left_out_where_they_are_not_wanted(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert coloured("x", "31", Terminal()) == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv(variable, value)
    assert coloured("x", "31", Terminal()) == "x"


def test_an_empty_no_color_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "")
    assert coloured("x", "31", Terminal()) != "x"


def test_a_pipe_gets_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert coloured("x", "31", io.StringIO()) == "x"


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("結", 2), ("e\u0301", 1), ("ａ", 2), ("→", 1), ("", 0)])
def test_display_width_counts_columns(text: str, width: int) -> None:
    assert display_width(text) == width


@pytest.mark.parametrize(("text", "expected"), [("abcd", "abcd"), ("abcde", "abc…"), ("結結結", "結…")])
def test_a_cut_text_ends_with_an_ellipsis(text: str, expected: str) -> None:
    assert cut(text, 4) == expected


def test_tabs_are_blanks_and_bells_are_codes() -> None:
    assert harmless("a\tb\x07") == "a       b\\x07"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/ada", "~"),
        ("/home/ada/.peppy/x", "~/.peppy/x"),
        ("/home/adam/x", "/home/adam/x"),
        ("/srv/home/ada", "/srv/home/ada"),
    ],
)
def test_only_the_home_directory_itself_is_shortened(path: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert shortened(path) == expected
