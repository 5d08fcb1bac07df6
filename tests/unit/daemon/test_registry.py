"""docs/reference/daemon.md, Stages and states; Names."""

import pytest

from daemon.entries import WHEELS, instance, node
from peppy.daemon.registry import KEPT_RECORDS, Registry
from peppy.daemon.standalone import StandaloneProgram, free_id
from peppy.errors import PeppyError
from peppy.model.lifecycle import Stage, State
from peppy.model.names import Reference
from peppy.model.node import Slot, SlotKind
from peppy.protocol.answers import Exit

CORE = "core-node-brisk-lovelace-2741"


@pytest.fixture
def registry() -> Registry:
    made = Registry(CORE)
    made.put_node(node())
    return made


def test_an_unknown_node_names_the_nearest_one(registry: Registry):
    with pytest.raises(PeppyError) as raised:
        registry.node(Reference("wheel", "v1"))
    assert raised.value.kind == "NotFound"
    assert raised.value.message == "`wheel:v1` is not in the node stack, nearest is `wheels:v1`"


def test_an_unknown_instance_names_the_nearest_one(registry: Registry):
    registry.put_instance(instance("left_wheels"))
    with pytest.raises(PeppyError) as raised:
        registry.instance("left_wheel")
    assert raised.value.message == "there is no instance `left_wheel`, nearest is `left_wheels`"


def test_every_entry_of_a_node_has_a_higher_generation(registry: Registry):
    first = registry.nodes[WHEELS].generation
    assert registry.put_node(node()).generation > first


def test_generations_go_on_after_a_restart(registry: Registry):
    restored = node(Reference("old", "v1"))
    restored.generation = 70
    registry.restore_node(restored)
    assert registry.put_node(node()).generation == 71


def test_a_stage_is_entered_only_from_where_it_may_be(registry: Registry):
    with pytest.raises(ValueError, match="cannot go from"):
        registry.set_stage(registry.nodes[WHEELS], Stage.READY)


def test_a_state_is_entered_only_from_where_it_may_be(registry: Registry):
    ended = instance(state=State.FINISHED)
    with pytest.raises(ValueError, match="cannot go from"):
        registry.set_state(ended, State.RUNNING)


def test_an_instance_that_is_not_running_is_not_healthy(registry: Registry):
    running = instance(state=State.RUNNING)
    running.healthy = True
    registry.set_state(running, State.FAILED, Exit(1, None, None))
    assert (running.healthy, running.exit) == (False, Exit(1, None, None))


def test_ids_of_live_instances_and_of_the_core_node_are_taken(registry: Registry):
    registry.put_instance(instance("live"))
    registry.put_instance(instance("ended", state=State.FAILED))
    assert registry.taken_ids() == {"live", CORE}


def test_the_id_of_a_connected_standalone_program_is_taken(registry: Registry):
    registry.programs["s1"] = StandaloneProgram("s1", WHEELS, 7, (), ())
    assert "s1" in registry.taken_ids()
    assert registry.holder("s1") == "a standalone program of `wheels:v1`"
    assert registry.holder("s2") is None
    with pytest.raises(PeppyError, match="`s1` is a standalone program"):
        registry.instance("s1")


def test_the_slots_of_a_standalone_program_take_everybody_but_itself(registry: Registry):
    image = Reference("image_source", "v1")
    slots = (Slot(SlotKind.NODE, "left", WHEELS), Slot(SlotKind.INTERFACE, "main", image))
    registry.programs["s1"] = StandaloneProgram("s1", WHEELS, 7, (image,), slots)
    registry.programs["s2"] = StandaloneProgram("s2", WHEELS, 8, (image,), slots)
    for link_id in ("left", "main"):
        assert registry.passes("s1", link_id, "s2", WHEELS)
        assert not registry.passes("s1", link_id, "s1", WHEELS)
    assert not registry.passes("s1", "main", "one", WHEELS)


def test_the_first_free_id_of_a_standalone_program():
    assert [free_id(taken) for taken in ((), ("standalone",), ("standalone", "standalone-2"))] == [
        "standalone",
        "standalone-2",
        "standalone-3",
    ]


def test_the_newest_ended_records_are_kept(registry: Registry):
    for order in range(KEPT_RECORDS + 3):
        registry.put_instance(instance(f"i{order}", order, State.FINISHED))
    registry.put_instance(instance("live", 99))
    assert [found.instance_id for found in registry.surplus(WHEELS)] == ["i0", "i1", "i2"]


def test_the_order_of_starts_goes_on_after_a_restart(registry: Registry):
    registry.put_instance(instance(order=41))
    assert registry.next_order() == 42


def test_a_dropped_node_takes_its_records_along(registry: Registry):
    registry.put_instance(instance(state=State.FAILED))
    registry.drop_node(WHEELS)
    assert (registry.nodes, registry.instances) == ({}, {})


def test_a_record_that_was_replaced_is_not_dropped(registry: Registry):
    old, new = instance(state=State.FAILED), instance()
    registry.put_instance(old)
    registry.put_instance(new)
    registry.drop_instance(old)
    assert registry.instances["one"] is new


def test_a_consumer_that_is_gone_reads_from_nobody(registry: Registry):
    assert not registry.passes("ghost", "slot", "one", WHEELS)


def test_instances_are_counted_by_state(registry: Registry):
    registry.put_instance(instance("a", state=State.RUNNING))
    registry.put_instance(instance("b", state=State.RUNNING))
    assert (registry.counts()[State.RUNNING], registry.counts()[State.FAILED]) == (2, 0)
