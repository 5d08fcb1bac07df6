"""Source text of generated functions: lines with their indentation, and the names they refer to."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any


class Source:
    """Collects one module of generated functions, then compiles it."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._indent = 0
        self._names: dict[str, Any] = {}
        self._count = 0

    def line(self, text: str) -> None:
        self._lines.append("    " * self._indent + text)

    @contextmanager
    def block(self, head: str) -> Generator[None, None, None]:
        """Lines below `head`, which ends with a colon."""
        self.line(head)
        self._indent += 1
        yield
        self._indent -= 1

    def new(self, prefix: str) -> str:
        """A variable name that occurs nowhere else."""
        self._count += 1
        return f"{prefix}{self._count}"

    def bind(self, value: Any, prefix: str = "k") -> str:
        """A name by which the generated code refers to `value`."""
        name = self.new(f"_{prefix}")
        self._names[name] = value
        return name

    def lines_of(self, name: str) -> str:
        """The whole text, for people who debug it; `name` is its file name in tracebacks."""
        return f"# {name!r}\n" + "\n".join(self._lines) + "\n"

    def compile(self, name: str) -> dict[str, Callable[..., Any]]:
        """Run the text; the functions that it defines, by name."""
        code = compile(self.lines_of(name), f"<peppy codec: {name}>", "exec")
        namespace = dict(self._names)
        exec(code, namespace)  # a schema's names occur in the text as identifiers and as quoted strings only
        return namespace
