"""The position scanner and the json5 package agree on what a document says and where it says it."""

import json5
from hypothesis import given, settings
from hypothesis import strategies as st

from peppy.manifest.position import NotJSON5, Path, scan

BLANK = st.sampled_from(["", " ", "\n", "\t", "\r\n", "// a { comment\n", "/* [ */", "\u00a0", ' /* " */ '])
NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(0, 2**64).map(hex),
    st.sampled_from([".5", "5.", "+1", "-.5e3", "Infinity", "-Infinity", "0", "-0", "1E+9"]),
)
CHARACTERS = st.one_of(
    st.characters(exclude_characters="\"'\\\r\n\u2028\u2029", exclude_categories=["Cs"]),
    st.sampled_from(["\\n", "\\x41", "\\u00e9", "\\\n", "\\\r\n", "\\0", "\\'", '\\"', "\\\\", "\\q", "{", "//", "/*"]),
)
BODIES = st.lists(CHARACTERS, max_size=8).map("".join)
STRINGS = st.one_of(
    BODIES.map(lambda body: f'"{body}"'), BODIES.map(lambda body: f"'{body}'"), BODIES.map(lambda body: f'"{body}\'"')
).filter(lambda text: "\\0" not in text or not any(f"\\0{digit}" in text for digit in "0123456789"))
KEYS = st.one_of(
    st.from_regex(r"[A-Za-z_$][A-Za-z0-9_$]{0,6}", fullmatch=True), st.sampled_from(["é", "\\u0061b"]), STRINGS
)
SCALARS = st.one_of(NUMBERS, STRINGS, st.sampled_from(["null", "true", "false"]))


def listed(items: st.SearchStrategy[str], brackets: str) -> st.SearchStrategy[str]:
    def joined(parts: list[tuple[str, str, str]], comma: bool, blank: str) -> str:
        body = ",".join(before + part + after for before, part, after in parts)
        return brackets[0] + body + ("," if comma and parts else "") + blank + brackets[1]

    return st.builds(joined, st.lists(st.tuples(BLANK, items, BLANK), max_size=4), st.booleans(), BLANK)


def containers(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.builds(lambda key, a, b, value: f"{key}{a}:{b}{value}", KEYS, BLANK, BLANK, values)
    return st.one_of(listed(values, "[]"), listed(member, "{}"))


DOCUMENTS = st.builds(lambda a, value, b: a + value + b, BLANK, st.recursive(SCALARS, containers, max_leaves=12), BLANK)


def paths(value: object, path: Path = ()) -> dict[Path, object]:
    """Every value of a document by its path."""
    found: dict[Path, object] = {path: value}
    if isinstance(value, dict):
        for key, member in value.items():
            found |= paths(member, (*path, key))
    if isinstance(value, list):
        for index, item in enumerate(value):
            found |= paths(item, (*path, index))
    return found


@settings(deadline=None)
@given(DOCUMENTS)
def test_every_value_stands_where_the_scanner_says(text: str):
    positions = scan(text)
    for path, value in paths(json5.loads(text)).items():
        start, end = positions.values[path]
        assert repr(json5.loads(text[start:end])) == repr(value)


@settings(deadline=None)
@given(DOCUMENTS)
def test_every_key_stands_where_the_scanner_says(text: str):
    positions = scan(text)
    for path in paths(json5.loads(text)):
        if path and isinstance(path[-1], str):
            key_and_value = text[positions.keys[path] : positions.values[path][1]]
            assert list(json5.loads("{" + key_and_value + "}")) == [path[-1]]


@settings(deadline=None)
@given(DOCUMENTS)
def test_the_scanner_finds_a_repeated_key_when_json5_does(text: str):
    try:
        json5.loads(text, allow_duplicate_keys=False)
        repeated = False
    except ValueError:
        repeated = True
    assert bool(scan(text).duplicates) == repeated


@settings(deadline=None)
@given(st.text(st.sampled_from(list("{}[]:,'\"\\/*ab1.-+ex0 \n")), max_size=30))
def test_the_scanner_takes_what_json5_takes_and_nothing_else(text: str):
    try:
        json5.loads(text)
        valid = True
    except ValueError:
        valid = False
    try:
        scan(text)
        scanned = True
    except NotJSON5:
        scanned = False
    assert scanned == valid


@settings(deadline=None)
@given(DOCUMENTS, st.data())
def test_a_damaged_document_is_judged_alike(text: str, data: st.DataObject):
    at = data.draw(st.integers(0, len(text)))
    damaged = (
        text[:at] + data.draw(st.sampled_from(["", "}", "]", ",", ":", '"', "'", "/", "\\", "x", "0"])) + text[at + 1 :]
    )
    test_the_scanner_takes_what_json5_takes_and_nothing_else.hypothesis.inner_test(damaged)
