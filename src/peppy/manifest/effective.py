"""The manifest of a snapshot that is made from a variant (docs/reference/manifest.md, Variants)."""

import json
from typing import cast

Plain = dict[str, object]

_ITEM_KEYS = {
    "nodes": ("name", "tag", "link_id", "from_any"),
    "interfaces": ("name", "tag", "link_id", "sha256", "from_any"),
    "emits": ("name", "qos_profile", "message_format"),
    "services": ("name", "request_message_format", "response_message_format"),
    "actions": ("name", "goal_service", "feedback_topic", "result_service"),
    "consumes": ("link_id", "name"),
    "conforms_to": ("name", "tag", "sha256"),
}
_CALL_KEYS = ("request_message_format", "response_message_format", "qos_profile")
_FEEDBACK_KEYS = ("type", "name", "qos_profile", "message_format")
_EXECUTION_KEYS = ("language", "parameters", "build_cmd", "run_cmd", "container")
_CONTAINER_KEYS = (
    "def_file",
    "mount_paths",
    "apptainer_build_extra_args",
    "apptainer_run_extra_args",
    "lima_shell_extra_args",
)


def effective_text(root: object, variant: object) -> str:
    """The root's schema id, `manifest` and `interfaces` with the variant's `execution`, as the text of a manifest.

    Both are the values of valid documents. `manifest.variants` is left out: the snapshot is the selected tree. Keys
    stand in the order of the reference, fields and list items in the order of their document; two spaces indent.
    """
    own, other = cast(Plain, root), cast(Plain, variant)
    written: Plain = {"peppy_schema": own["peppy_schema"], "manifest": _manifest(cast(Plain, own["manifest"]))}
    if "interfaces" in own:
        written["interfaces"] = _interfaces(cast(Plain, own["interfaces"]))
    execution = _ordered(other["execution"], _EXECUTION_KEYS)
    if "container" in execution:
        execution["container"] = _ordered(execution["container"], _CONTAINER_KEYS)
    written["execution"] = execution
    return json.dumps(written, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _manifest(value: Plain) -> Plain:
    manifest = _ordered(value, ("name", "tag", "labels", "depends_on"))
    if "depends_on" in manifest:
        depends_on = _ordered(manifest["depends_on"], ("nodes", "interfaces"))
        manifest["depends_on"] = {key: _items(entries, _ITEM_KEYS[key]) for key, entries in depends_on.items()}
    return manifest


def _interfaces(value: Plain) -> Plain:
    interfaces = _ordered(value, ("topics", "services", "actions", "conforms_to"))
    for key in ("topics", "services", "actions"):
        if key in interfaces:
            interfaces[key] = _sides(key, interfaces[key])
    if "conforms_to" in interfaces:
        interfaces["conforms_to"] = _items(interfaces["conforms_to"], _ITEM_KEYS["conforms_to"])
    return interfaces


def _sides(surface: str, value: object) -> Plain:
    sides = _ordered(value, ("emits", "exposes", "consumes"))
    for side, entries in sides.items():
        sides[side] = _items(entries, _ITEM_KEYS[surface if side == "exposes" else side])
    if surface == "actions" and "exposes" in sides:
        sides["exposes"] = [_action(action) for action in cast(list[Plain], sides["exposes"])]
    return sides


def _action(action: Plain) -> Plain:
    keys = {"goal_service": _CALL_KEYS, "feedback_topic": _FEEDBACK_KEYS, "result_service": _CALL_KEYS}
    return {key: _ordered(value, keys[key]) if key in keys else value for key, value in action.items()}


def _items(value: object, keys: tuple[str, ...]) -> list[Plain]:
    return [_ordered(item, keys) for item in cast(list[object], value)]


def _ordered(value: object, keys: tuple[str, ...]) -> Plain:
    members = cast(Plain, value)
    return {key: members[key] for key in keys if key in members}
