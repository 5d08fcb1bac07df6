"""docs/design/reliability.md, Fault points."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from peppy import faults
from peppy.errors import PeppyError

PACKAGE = Path(faults.__file__).parent


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    faults.arm({})


def test_every_point_of_the_list_stands_in_the_code_once():
    placed = [point for path in PACKAGE.rglob("*.py") for point in re.findall(r'\bfault\("(.+?)"\)', path.read_text())]
    assert Counter(placed) == Counter(faults.POINTS)


def test_nothing_happens_at_a_point_that_is_not_armed():
    faults.arm({"PEPPY_FAULT": "add.copied"})
    faults.fault("add.stopped")
    faults.arm({"PEPPY_FAULT": ""})
    faults.fault("add.copied")


def test_a_process_dies_at_the_point_that_is_armed():
    program = "from peppy import faults; faults.arm({'PEPPY_FAULT': 'add.copied'}); faults.fault('add.copied')"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9


def test_a_name_that_is_no_point_is_refused():
    with pytest.raises(PeppyError, match=r"`add\.nowhere`"):
        faults.arm({"PEPPY_FAULT": "add.nowhere"})
