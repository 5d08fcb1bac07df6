"""Calls through the daemon (docs/reference/services_actions.md, Control-plane sequence; Timeouts, retry, discovery)."""

from daemon.plane import CORE, Plane, kinds, with_plane
from peppy.protocol import calls as frames


def test_a_pinned_call_goes_to_its_producer_without_a_probe_and_its_answer_comes_back():
    async def claim(plane: Plane) -> None:
        plane.slots.directed["left"] = "c1"
        caller, producer = plane.join("view", "view:v1"), plane.join("c1")
        plane.serve(producer)
        producer.take()
        plane.call(caller, 7)
        assert kinds(producer.sent) == ["Deliver"]
        deliver = producer.last(frames.Deliver)
        assert (deliver.endpoint_id, deliver.caller_instance_id, deliver.caller_core_node) == (1, "view", CORE)
        assert producer.carried[-1][1] == b"q"
        delivery = plane.acknowledge(producer)
        assert caller.take() == [frames.Acknowledged(7, "c1")]
        plane.say(producer, frames.Reply(delivery), b"answer")
        assert caller.take() == [frames.Answered(7, "c1", CORE)]
        assert caller.carried[-1][1] == b"answer"
        assert plane.control.in_flight() == 0

    with_plane(claim)
