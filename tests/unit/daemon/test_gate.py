"""docs/reference/daemon.md, Concurrency gate."""

import time

import pytest

from peppy.daemon.gate import Gate, Hold
from peppy.errors import PeppyError
from peppy.model.names import Reference

WHEELS = Reference("wheels", "v1")
OTHER = Reference("other", "v1")


def test_two_operations_alone_on_one_node_do_not_meet():
    gate = Gate()
    with gate.alone(WHEELS, Hold("build")), pytest.raises(PeppyError) as raised, gate.alone(WHEELS, Hold("add")):
        pass
    assert raised.value.kind == "Busy"


def test_busy_names_node_operation_age_and_time_to_the_limit():
    gate = Gate()
    hold = Hold("build", limit_secs=60, since=time.monotonic() - 12)
    with gate.alone(WHEELS, hold), pytest.raises(PeppyError) as raised:
        gate.check(WHEELS, "add")
    assert raised.value.message == "`wheels:v1` is busy: build has been running for 12 s, 48 s to its limit"
    assert raised.value.hint is None


def test_a_build_behind_a_build_is_told_about_force():
    gate = Gate()
    with gate.alone(WHEELS, Hold("build")), pytest.raises(PeppyError) as raised:
        gate.check(WHEELS, "build")
    assert "--force" in (raised.value.hint or "")


def test_another_node_is_free():
    gate = Gate()
    with gate.alone(WHEELS, Hold("build")), gate.alone(OTHER, Hold("build")):
        pass


def test_several_runs_share_a_node():
    gate = Gate()
    with gate.shared(WHEELS, Hold("run")), gate.shared(WHEELS, Hold("run")):
        pass


def test_a_run_keeps_others_away():
    gate = Gate()
    with gate.shared(WHEELS, Hold("run")), pytest.raises(PeppyError), gate.alone(WHEELS, Hold("remove")):
        pass


def test_the_node_is_free_after_a_failure():
    gate = Gate()
    with pytest.raises(ZeroDivisionError), gate.alone(WHEELS, Hold("build")):
        raise ZeroDivisionError
    gate.check(WHEELS, "build")


def test_a_reset_is_refused_while_any_node_is_held():
    gate = Gate()
    with gate.shared(WHEELS, Hold("run")), pytest.raises(PeppyError), gate.whole(Hold("reset")):
        pass


def test_a_reset_keeps_everybody_away():
    gate = Gate()
    with gate.whole(Hold("reset")), pytest.raises(PeppyError) as raised, gate.shared(WHEELS, Hold("run")):
        pass
    assert raised.value.kind == "Busy"
