"""What the words of a command line mean: sources, directories, references, `key=value`, `KEY@VALUE`."""

import os
import re
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path

from peppy.cli.usage import Misuse, misuse
from peppy.errors import InvalidInput
from peppy.model.bindings import parse_bindings
from peppy.model.names import NAME_RULE, TAG_RULE, Reference, is_name
from peppy.model.text import quoted

Pairs = tuple[tuple[str, str], ...]

ARCHIVES = (".tar.zst", ".tar.zstd", ".tzst")
_KEY = re.compile(r"[A-Za-z0-9_.-]+=")


class Source(Enum):
    """Where `node add` takes a node from (docs/reference/cli.md, Source of node add)."""

    DIRECTORY = "local directory"
    ARCHIVE = "archive"
    GIT = "git repository"
    REPOSITORY = "repository"


def source_of(text: str) -> Source:
    """What kind of source `text` looks like."""
    if "://" in text:
        path = text.partition("?")[0].partition("#")[0]
        return Source.ARCHIVE if path.endswith(ARCHIVES) and text.startswith("http") else Source.GIT
    if text.startswith("git@"):
        return Source.GIT
    if Reference.parse(text) and not absolute(text).exists():
        return Source.REPOSITORY
    return Source.ARCHIVE if text.endswith(ARCHIVES) else Source.DIRECTORY


def absolute(text: str) -> Path:
    """The absolute path that a person means: `~` is the home directory; links stay as they are written."""
    return Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100 - resolve() would follow links


def directory_of(source: Path) -> Path:
    """The directory of a node that is named by itself or by its manifest."""
    return source.parent if source.suffix == ".json5" else source


def is_directory_word(text: str) -> bool:
    """Whether `node run` takes `text` as a directory and not as `name:tag`."""
    return text in (".", "..") or "/" in text or text.startswith("~")


def is_pair_word(text: str) -> bool:
    """Whether `text` is `key=value` where a source could stand as well: a path that exists is a source."""
    return bool(_KEY.match(text)) and not absolute(text).exists()


def reference(text: str) -> Reference:
    """The `name:tag` that `text` is; a usage error otherwise."""
    found = Reference.parse(text)
    if found is None:
        raise misuse(f"{quoted(text)} is no `name:tag`", _rule_for(text))
    return found


def _rule_for(text: str) -> str:
    name, colon, _ = text.partition(":")
    if not colon:
        return f"write name and tag, as in `{name if is_name(name) else 'wheels'}:v1`"
    return f"a tag has {TAG_RULE}" if is_name(name) else f"a name has {NAME_RULE}"


def instance_name(text: str | None) -> str | None:
    """An instance id as given; a usage error when it breaks the grammar."""
    if text is not None and not is_name(text):
        raise misuse(f"{quoted(text)} is no instance id", f"use {NAME_RULE}")
    return text


def pairs(words: Iterable[str]) -> Pairs:
    """`key=value` words, split at the first `=` (docs/reference/manifest.md, Values); usage errors otherwise."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise misuse(f"{quoted(word)} is no parameter", "write parameters as `key=value`")
        if key in found:
            raise misuse(f"the parameter {quoted(key)} is given twice", "give each parameter once")
        found[key] = value
    return tuple(found.items())


def bindings(texts: Iterable[str]) -> Pairs:
    """`--bind` texts as pairs; what is wrong with them is a usage error (docs/reference/bindings.md, Validator)."""
    return _as_usage(lambda: parse_bindings(texts))


def _as_usage(parse: Callable[[], Pairs]) -> Pairs:
    try:
        return parse()
    except InvalidInput as error:
        error.hint = error.hint or "write bindings as `--bind KEY@VALUE`: a slot's `link_id` and an instance id"
        raise Misuse(error) from None
