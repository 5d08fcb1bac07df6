"""The daemon's program: arguments, the lock of the data root, and its exit status."""

import argparse
import os
import sys
from collections.abc import Sequence

from peppy.daemon.lock import Lock
from peppy.errors import PeppyError
from peppy.model.home import data_root
from peppy.model.names import NAME_RULE, is_name
from peppy.store.root import DataRoot

FAILED = 1


def main(arguments: Sequence[str]) -> int:
    """Serves until it is told to stop; 0, or 1 after one error on stderr that says why it cannot serve."""
    options = _parse(arguments)
    root = DataRoot(data_root(os.environ))
    try:
        root.create()
        lock = Lock(root.daemon_lock, root.path)
        _serve(root, options.core_node_name)
        lock.release()
    except PeppyError as error:
        text = str(error) if error.details else f"{error.kind}: {error}"  # details name their kinds themselves
        print(f"[ERROR] {text}", file=sys.stderr, flush=True)
        return FAILED
    return 0


def _serve(root: DataRoot, core_node_name: str | None) -> None:
    """Imports the daemon only now: of many started at once, those without the lock end at little cost."""
    import asyncio

    from peppy.daemon.life import serve
    from peppy.loop import EventLoop

    with asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(serve(root, core_node_name))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="peppy service serve", description="Serve a data root in the foreground.")
    parser.add_argument("--core-node-name", type=_name, help="name of the core node")
    parser.add_argument("--clock-source", type=_clock, default="wall", help="`wall`")
    return parser.parse_args(arguments)


def _name(text: str) -> str:
    if is_name(text):
        return text
    raise argparse.ArgumentTypeError(f"`{text}` is not a name: {NAME_RULE}")


def _clock(text: str) -> str:
    if text == "wall":
        return text
    if text == "sim":
        raise argparse.ArgumentTypeError("`sim` is not supported yet")
    raise argparse.ArgumentTypeError(f"`{text}` is no clock source: `wall`")
