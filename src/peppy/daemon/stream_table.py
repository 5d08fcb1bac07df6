"""All streams and subscriptions of the stack, by the processes that own them."""

from time import monotonic

from peppy.daemon.streams import Process, Row, Stream, Subscription


class StreamTable:
    """What there is, and what can be asked about it."""

    def __init__(self) -> None:
        self.processes: dict[str, Process] = {}
        """By instance id."""

    def streams(self) -> list[Stream]:
        """All streams of the stack."""
        return [stream for process in self.processes.values() for stream in process.streams.values()]

    def subscriptions(self) -> list[Subscription]:
        """All subscriptions of the stack."""
        return [found for process in self.processes.values() for found in process.subscriptions.values()]

    def stream(self, stream_id: int) -> Stream | None:
        """The stream with this id."""
        return next((stream for stream in self.streams() if stream.stream_id == stream_id), None)

    def stream_of(self, instance_id: str, topic: str) -> Stream | None:
        """The stream of one topic of a live instance, once it has published."""
        process = self.processes.get(instance_id)
        streams = process.streams.values() if process is not None else ()
        return next((stream for stream in streams if stream.topic == topic), None)

    def stream_count(self) -> int:
        """How many streams exist."""
        return sum(len(process.streams) for process in self.processes.values())

    def rows_of(self, stream: Stream) -> list[tuple[Subscription, Row]]:
        """Who has a row of a stream."""
        return [
            (subscription, row)
            for subscription in self.subscriptions()
            if (row := subscription.rows.get(stream.stream_id)) is not None and row.ticket
        ]

    def sample(self) -> None:
        """Take the rate of every stream since the last call; meant to be called once a second."""
        now = monotonic()
        for stream in self.streams():
            published = stream.observer.stats().published
            elapsed = now - stream.sampled_at
            if elapsed > 0:
                stream.hz = (published - stream.published) / elapsed
            stream.published, stream.sampled_at = published, now
