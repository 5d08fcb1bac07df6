"""Names, tags, references and how declared names become Python identifiers (docs/reference/manifest.md, Grammar)."""

import hashlib
import keyword
import re
from dataclasses import dataclass

NAME_LIMIT = 100
NAME_RULE = "letters, digits, `_` and `-`, at least one letter or digit, at most 100 characters"
TAG_RULE = "letters, digits, `.`, `_` and `-`, starting with a letter or digit, no `..`, at most 100 characters"

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")


def is_name(text: str) -> bool:
    """Whether `text` is a name: of a node, topic, parameter, slot (`link_id`), instance and so on."""
    return len(text) <= NAME_LIMIT and bool(_NAME.fullmatch(text)) and any(c not in "_-" for c in text)


def is_init_name(text: str) -> bool:
    """Whether `peppy node init` takes `text`: a name that starts with a letter."""
    return is_name(text) and text[0].isalpha()


def is_tag(text: str) -> bool:
    """Whether `text` is a tag of a node, an interface or a dependency."""
    return len(text) <= NAME_LIMIT and bool(_TAG.fullmatch(text)) and ".." not in text


def is_sha256(text: str) -> bool:
    """Whether `text` is a digest of 64 hexadecimal digits."""
    return bool(_SHA256.fullmatch(text))


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A node or an interface in a stack: `name:tag`."""

    name: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> "Reference | None":
        """The reference that `text` names, split at the first `:`, or None when it is none."""
        name, colon, tag = text.partition(":")
        return cls(name, tag) if colon and is_name(name) and is_tag(tag) else None

    @property
    def path_key(self) -> str:
        """`<name>_<tag>`: the part that files and directories of this node carry."""
        return f"{self.name}_{self.tag}"

    def __str__(self) -> str:
        return f"{self.name}:{self.tag}"


def identifier(name: str) -> str:
    """The Python identifier of a declared name, for fields and modules (docs/reference/messages.md, Names)."""
    text = _stripped(name)
    if not text or text[0].isdigit():
        text = f"_{text}"
    return f"{text}_" if keyword.iskeyword(text) else text


def class_part(name: str) -> str:
    """The part of a class name that a declared name gives (docs/reference/messages.md, Names)."""
    text = "".join(part.capitalize() for part in _stripped(name).split("_")) or "Item"
    return text if text[0].isalpha() else f"T{text}"


def _stripped(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def stable_hash(text: str) -> int:
    """A 64-bit hash of `text` that is the same in every process (BLAKE2b, big-endian)."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
