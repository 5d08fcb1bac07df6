"""A node in an event loop that is somebody else's: a notebook, a test, a program with a loop of its own
(docs/reference/node_api.md, Standalone mode)."""

import asyncio
import runpy
from pathlib import Path

import peppy
from peppy.errors import NodeStartupError
from peppy.model.names import Reference
from peppy.runtime.life import NodeLife
from peppy.runtime.runner import NodeRunner
from peppy.runtime.standalone import StandaloneConfig, StandaloneProgram, ensure_daemon, standalone_values

META = Path(".peppy/libs/peppygen/peppygen/_meta.py")
"""What the generated package of a node knows about it, below the node's directory."""


async def join(path: Path, config: StandaloneConfig) -> NodeRunner:
    """The runner of a standalone program, connected; errors of `NodeRunner.new_standalone`."""
    life, home = _life(path, config)
    connecting = asyncio.ensure_future(asyncio.to_thread(_connect, life, home))
    try:
        await asyncio.shield(connecting)
    except asyncio.CancelledError:
        connecting.add_done_callback(lambda _done: life.disconnect())
        raise
    handed: asyncio.Future[NodeRunner] = asyncio.get_running_loop().create_future()
    living = asyncio.create_task(life.live_as_guest(handed), name="peppy-node")
    try:
        await asyncio.wait((handed, living), return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        living.cancel()
        raise
    if not handed.done():
        await living  # raises why there is no runner
        raise NodeStartupError(f"the node in `{path}` has ended while it started")
    node_runner = handed.result()
    node_runner.living = living
    return node_runner


def _life(path: Path, config: StandaloneConfig) -> tuple[NodeLife, Path]:
    meta = (path.parent if path.is_file() else path) / META
    if not meta.is_file():
        raise NodeStartupError(f"there is no generated package for `{path}`", hint=f"run `peppy node sync {path}`")
    known = runpy.run_path(str(meta))
    values = standalone_values(known["DECLARED_PARAMETERS"], config)
    reference = Reference(known["NAME"], known["TAG"])
    program = StandaloneProgram.of(reference, known["CONFORMS_TO"], known["SLOTS"], config)
    return NodeLife(program.config(), program.slots, values, peppy.__version__, program), program.home


def _connect(life: NodeLife, home: Path) -> None:
    ensure_daemon(home)
    life.connect()
