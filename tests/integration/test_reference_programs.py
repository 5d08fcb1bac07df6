"""The programs of docs/reference/node_api.md, Examples, work with each other as they stand."""

import re
from pathlib import Path

import pytest
from living import LivingDaemon, eventually, make_python_node

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "node_api.md"
EXPOSES = {
    "services": {
        "exposes": [
            {
                "name": "set_zero",
                "request_message_format": {"samples": "u16"},
                "response_message_format": {"bias": "f32"},
            }
        ]
    },
    "actions": {
        "exposes": [
            {
                "name": "dock",
                "goal_service": {"request_message_format": {"bay": "u8"}},
                "feedback_topic": {"message_format": {"metres": "f32"}},
                "result_service": {"response_message_format": {"docked": "bool", "metres": "f32"}},
            }
        ]
    },
}
CONSUMES = {
    "services": {"consumes": [{"link_id": "base", "name": "set_zero"}]},
    "actions": {"consumes": [{"link_id": "base", "name": "dock"}]},
}
BASE = {"nodes": [{"name": "base", "tag": "v1", "link_id": "base"}]}


def program(*titles: str, tasks: str) -> str:
    """The programs below these headings as one, with the `setup` that they leave out."""
    text = REFERENCE.read_text()
    parts = [re.search(rf"### [\d.]+ {title}\n.*?```python\n(.*?)```", text, re.DOTALL) for title in titles]
    setup = f"async def setup(_params, runner):\n    return [asyncio.create_task(task) for task in ({tasks},)]"
    return "\n".join(["import asyncio", *(part[1] for part in parts if part), setup])


@pytest.fixture
def client_log(shared: LivingDaemon, tmp_path: Path) -> Path:
    """The log of an instance that calls the service and sends a goal, beside one that serves both."""
    serving = program("Service", "Action server", tasks="serve(runner), accept(runner)")
    base = shared.ready(make_python_node(tmp_path, "base", tag="v1", body=serving, interfaces=EXPOSES))
    shared.run(base, "left")
    calling = program("Caller of a service", "Action client", tasks="calibrate(runner), go(runner)")
    pilot = shared.ready(make_python_node(tmp_path, "pilot", body=calling, depends_on=BASE, interfaces=CONSUMES))
    return Path(shared.run(pilot, "pilot", bindings=[("base", "left")]).log)


def test_the_examples_calibrate_and_dock_until_the_client_cancels(client_log: Path) -> None:
    for text in ("left is calibrated", "m to go", "SIGNALLED", "CANCELLED ResultResponseData(docked=False"):
        eventually(lambda text=text: text in client_log.read_text(), text)
