"""Frames of streams: who writes a topic, who reads it, how the two are joined (docs/design/protocol.md, Sequences)."""

from peppy.protocol.answers import Attached, StreamOpened, Subscribed
from peppy.protocol.base import Frame


class StreamOpen(Frame):
    """Producer to daemon: this stream exists. Descriptors: DATA, CTRL, and where the profile waits the eventfd that
    readers ring for room. Sent again after a reconnect.

    `topic` is a name, or `<interface>:<tag>/<name>` of a topic that the node inherits: no name has a slash, so native
    and inherited topics never meet.

    `format` is the canonical text of the format, which only a `standalone` program says: the daemon knows no manifest
    of it.
    """

    Answer = StreamOpened
    descriptors = range(2, 4)
    stream_id: int
    topic: str
    qos: int
    schema_hash: int
    generation: int
    format: str | None = None


class StreamClose(Frame):
    """Producer to daemon: the stream has been closed; its last messages stay readable for those attached."""

    stream_id: int


class Subscribe(Frame):
    """Consumer to daemon: read `topic` (as in `StreamOpen`) through slot `link_id`. Descriptor: the subscription's
    eventfd (doorbell).

    `newest_after_loss` is not sent: the reader follows the producer's profile. `held` names the streams that a
    subscription already reads when it registers again after a reconnect, as (stream_id, row, ticket).
    """

    Answer = Subscribed
    descriptors = range(1, 2)
    subscription_id: int
    link_id: str
    topic: str
    schema_hash: int
    held: tuple[tuple[int, int, int], ...] = ()


class Unsubscribe(Frame):
    """Consumer to daemon: the subscription is closed and all its rows are given up."""

    subscription_id: int


class Attach(Frame):
    """Daemon to producer: reserve a row. Descriptor: the doorbell, the first time this process sees `doorbell_id`.

    `reader_instance_id` is named when the reader holds the producer up; one that is `overwriting` never does.
    """

    Answer = Attached
    descriptors = range(2)
    may_lose_descriptors = True
    stream_id: int
    doorbell_id: int
    history: int
    reader_instance_id: str = ""
    overwriting: bool = False


class Attachment(Frame):
    """Daemon to consumer: here is a stream and your row. Descriptors: those of the producer's `StreamOpen`."""

    descriptors = range(2, 4)
    may_lose_descriptors = True
    subscription_id: int
    stream_id: int
    producer_instance_id: str
    qos: int
    claim: tuple[int, int, int, int, int, int]  # as in `Attached`


class AttachmentRefused(Frame):
    """Daemon to consumer: this stream cannot be read, or not now: `SchemaMismatch`, `TooManyReaders` or what failed.

    After `TooManyReaders` an `Attachment` follows when a row becomes free, or `StreamGone`.
    """

    subscription_id: int
    stream_id: int
    producer_instance_id: str
    kind: str
    message: str


class AttachmentStale(Frame):
    """Consumer to daemon: I do not have this row (ring.md, Attach); give it back and attach me again.

    `reason` is None when the row was no longer free; otherwise it says what this process lacks, such as descriptors,
    and the daemon waits for a moment before it attaches again.
    """

    subscription_id: int
    stream_id: int
    row: int
    ticket: int
    reason: str | None = None


class RowLeft(Frame):
    """Daemon to producer: the reader of this row has left or never came; take the row back.

    Ticket 0: one of the readers that `StreamOpened` counted has left before a row was asked for.
    """

    stream_id: int
    row: int
    ticket: int


class DoorbellGone(Frame):
    """Daemon to producer: no row will be reserved for this doorbell any more; forget and close it."""

    doorbell_id: int


class StreamGone(Frame):
    """Daemon to consumer: the writer of this stream has closed it or is dead; take what is left."""

    subscription_id: int
    stream_id: int


STREAM_FRAMES: dict[int, type[Frame]] = {
    64: StreamOpen,
    65: StreamClose,
    66: Subscribe,
    67: Unsubscribe,
    68: Attach,
    69: Attachment,
    70: AttachmentRefused,
    71: AttachmentStale,
    72: RowLeft,
    73: DoorbellGone,
    74: StreamGone,
}

OF_STREAMS = frozenset({StreamOpen, StreamClose, Subscribe, Unsubscribe, AttachmentStale})
"""What writers and readers may send to the daemon."""
