"""Small file systems for tests of full disks."""

import contextlib
import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system takes root")


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Generator[Path]:
    """A directory below `place` whose file system holds `size` (as mount writes it)."""
    disk = place / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def fill(disk: Path) -> None:
    """Leaves no room on a disk."""
    with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(b"x" * 4096)
