"""How a node is built and run (docs/reference/manifest.md, 2.1 and 2.3)."""

import posixpath
import re

from peppy.manifest.cursor import Cursor
from peppy.manifest.declared import group_of
from peppy.model.node import Container, Execution, Language
from peppy.model.parameters import Group, Leaf, ParameterType, type_text
from peppy.model.text import nearest, quoted
from peppy.model.types import Token

_EXECUTION = {"language": True, "parameters": False, "build_cmd": False, "run_cmd": False, "container": False}
_ARGUMENTS = ("apptainer_build_extra_args", "apptainer_run_extra_args", "lima_shell_extra_args")
_CONTAINER = {"def_file": True, "mount_paths": False, **dict.fromkeys(_ARGUMENTS, False)}

BLOCKED_MOUNTS = frozenset({"/", "/bin", "/dev", "/etc", "/home", "/opt", "/sbin", "/tmp", "/usr", "/var"})
"""Directories of the host that no container gets as a whole."""

_REFERENCE = re.compile(r"\$\{([^}]*)\}")


def execution_of(cursor: Cursor | None) -> Execution | None:
    """The execution at `cursor`, None when it is absent or wrong."""
    members = cursor.members(_EXECUTION) if cursor else None
    if cursor is None or members is None:
        return None
    language = None
    if "language" in members:
        language = members["language"].one_of("BadLanguage", "language", [language.value for language in Language])
    parameters = group_of(members.get("parameters"))
    build_cmd = _command(members.get("build_cmd"), "build_cmd")
    run_cmd = _command(members.get("run_cmd"), "run_cmd")
    container = _container(members.get("container"), parameters)
    if ("run_cmd" in members) == ("container" in members):
        found = "both are given" if "run_cmd" in members else "neither is given"
        hint = "remove one of them" if "run_cmd" in members else 'add `run_cmd: ["python", "-m", "…"]`'
        cursor.report("ExecutionMode", f"exactly one of `run_cmd` and `container` is needed, {found}", hint)
    return Execution(Language(language), parameters, build_cmd, run_cmd, container) if language else None


def _command(cursor: Cursor | None, key: str) -> tuple[str, ...] | None:
    if cursor is None:
        return None
    items = cursor.items()
    if cursor.value == []:
        cursor.report("EmptyCommand", f"`{key}` is an empty list", f"write the words of the command or remove `{key}`")
    words: list[str] = []
    for item in items:
        word = item.string()
        if word is None:
            continue
        if not word:
            item.report("EmptyCommand", f"`{key}` holds an empty string", "remove the empty string")
        if "\0" in word:
            item.report("WrongType", f"`{key}` holds a NUL character, which no command takes", "remove it")
        words.append(word)
    return tuple(words)


def _strings(cursor: Cursor | None) -> tuple[str, ...]:
    words = [item.filled() for item in cursor.items()] if cursor else []
    return tuple(word for word in words if word is not None)


def _container(cursor: Cursor | None, parameters: Group) -> Container | None:
    members = cursor.members(_CONTAINER) if cursor else None
    if members is None:
        return None
    def_file = members["def_file"].filled() if "def_file" in members else None
    mounts = members.get("mount_paths")
    for item in mounts.items() if mounts else ():
        if isinstance(item.value, str):
            _check_mount(item, item.value, parameters)
    build, run, lima = (_strings(members.get(key)) for key in _ARGUMENTS)
    mount_paths = _strings(mounts)
    return Container(def_file, mount_paths, build, run, lima) if def_file is not None else None


def _check_mount(cursor: Cursor, mount: str, parameters: Group) -> None:
    """A mount is `source[:target[:options]]`; the source may hold `${parameters:a.b}`."""
    for reference in _REFERENCE.findall(mount):
        _check_reference(cursor, reference, parameters)
    source = _REFERENCE.sub("$", mount).partition(":")[0]
    if is_blocked_mount(source):
        text = f"the mount source {quoted(source)} is blocked"
        cursor.report("MountBlocked", text, "mount a directory below it")


def is_blocked_mount(source: str) -> bool:
    """Whether a mount source, its references replaced, is one of the directories that no container gets as a whole."""
    # normpath keeps two leading slashes, which mean the same as one here.
    return posixpath.normpath(source).replace("//", "/") in BLOCKED_MOUNTS


def _check_reference(cursor: Cursor, reference: str, parameters: Group) -> None:
    shown = quoted("${" + reference + "}")
    kind, colon, path = reference.partition(":")
    declared = _string_parameters(parameters, "")
    if kind != "parameters" or not colon:
        cursor.report("MountParameter", f"{shown} is not a reference", "write `${parameters:<name>}`")
        return
    found = _find(parameters, path)
    if isinstance(found, Leaf) and found.token is Token.STRING:
        return
    close = nearest(path, declared)
    hint = f"did you mean `${{parameters:{close}}}`?" if close else "refer to a parameter of type `string`"
    reason = "names no parameter" if found is None else f"is `{type_text(found)}`, not `string`"
    cursor.report("MountParameter", f"{shown} {reason}", hint)


def _find(group: Group, path: str) -> ParameterType | None:
    kind: ParameterType | None = group
    for name in path.split("."):
        member = kind.member(name) if isinstance(kind, Group) else None
        kind = member.type if member else None
    return kind


def _string_parameters(group: Group, prefix: str) -> list[str]:
    found: list[str] = []
    for member in group.members:
        path = prefix + member.name
        if isinstance(member.type, Leaf) and member.type.token is Token.STRING:
            found.append(path)
        elif isinstance(member.type, Group):
            found += _string_parameters(member.type, f"{path}.")
    return found
