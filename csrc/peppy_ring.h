#pragma once
/*
 * The public face of the stream core: one writer, up to 64 readers, one host.
 *
 * This file is read twice: by C (which includes <stdint.h> before it) and by cffi as its cdef. So it holds plain
 * declarations only: no includes, no attributes, no computed constants. Layout and proofs are in layout.h and order.h.
 *
 * Every function returns 0, a positive enum peppy_result (an outcome, not an error) or -errno. Nothing here allocates
 * after a handle is open, starts a thread, logs, or calls back. No call is async-signal-safe.
 *
 * All calls on one handle may come from any thread at the same time, except that peppy_writer_free and
 * peppy_reader_close are the last to begin (for a reader: peppy_unpin apart). Copies and waits that are under way when
 * a reader is closed end well: the waits, once their doorbell rings, with -ESHUTDOWN.
 *
 * In a fork child every handle of its parent is dead: calls return -ECHILD, free and close do nothing, views may be
 * read. The parent's row, leases and messages stay the parent's.
 */

#define PEPPY_MAX_ROWS 64
#define PEPPY_MAX_PINS 8
#define PEPPY_MAX_DEPTH 16384

enum peppy_result {
    PEPPY_OK = 0,
    PEPPY_EMPTY = 1,         /* nothing to take now */
    PEPPY_AGAIN = 2,         /* lost 64 races in a row, or other threads copy with every pin: call again, never sleep */
    PEPPY_TOO_MANY_HELD = 3, /* every pin of this row holds a view (or every write loan is out) */
    PEPPY_CLOSED = 4,        /* the writer closed the stream and this reader has taken all of it */
    PEPPY_NO_CHUNK = 5,      /* the pool is exhausted: more is held than was promised */
    PEPPY_TOO_LONG = 6,      /* the message is longer than the capacity; for take_copy: longer than the buffer */
    PEPPY_CORRUPT = 7,       /* reserved for counters: take steps over corrupt descriptors by itself */
    PEPPY_WOULD_BLOCK = 8    /* reliable: a reader has not taken the oldest message yet; nothing was published */
};

/* peppy_config.flags */
enum peppy_flags {
    PEPPY_RELIABLE = 1 /* nothing that a reader still has to take is overwritten; publish says PEPPY_WOULD_BLOCK */
};

enum peppy_lapped {
    PEPPY_LAPPED_OLDEST = 0, /* a reader that was overtaken goes on with the oldest message still held */
    PEPPY_LAPPED_NEWEST = 1  /* ... with the newest one */
};

enum peppy_history {
    PEPPY_HISTORY_NONE = 0, /* start after the last message published so far */
    PEPPY_HISTORY_LAST = 1, /* start with the last message */
    PEPPY_HISTORY_ALL = 2   /* start with the oldest message held */
};

enum peppy_row_state { PEPPY_ROW_FREE = 0, PEPPY_ROW_LIVE = 1, PEPPY_ROW_CLOSING = 2, PEPPY_ROW_GONE = 3 };

/* What a stream is made of. Set by the writer's process, read back by readers through their private copy. */
struct peppy_config {
    uint64_t epoch_hi, epoch_lo; /* random, one per life of a writer */
    uint64_t generation;         /* 1 for the first segments of an epoch */
    uint64_t topic_hash, schema_hash;
    uint64_t first_seq; /* first sequence of this generation, 1 at first */
    uint64_t capacity;  /* bytes of the largest message; rounded up to 64, from 4096 on to 4096 */
    uint32_t depth;     /* messages held, 4 to PEPPY_MAX_DEPTH */
    uint32_t rows;      /* readers, 1 to PEPPY_MAX_ROWS */
    uint32_t pins;      /* per reader, 2 to PEPPY_MAX_PINS: one for copies, the others for views */
    uint32_t loans;     /* write loans at once */
    uint32_t mode;      /* the QoS profile's number, for people and monitors */
    uint32_t flags;     /* 0 or PEPPY_RELIABLE */
};

/* One piece of a gathered message: `length` bytes of `data` go to byte `offset` of the payload. Pieces come in
 * ascending order and do not overlap (-EINVAL); bytes that no piece covers are zero. */
struct peppy_part {
    const void *data;
    uint64_t length, offset;
};

/* One message taken: where it lies, and the pin that keeps it there (take) or its offset in the buffer (copies). */
struct peppy_message {
    const uint8_t *data;
    uint64_t length, sequence, publish_time_ns;
    uint32_t pin, flags;
};

/* Room for one message that the caller fills in place. */
struct peppy_loan {
    uint8_t *data;
    uint64_t length;
    uint32_t chunk;
};

/* A place for one reader, reserved by the writer and carried to the reader beside the two descriptors. */
struct peppy_claim {
    uint64_t epoch_hi, epoch_lo, generation, ticket, start_seq;
    uint32_t row;
};

/* chunks_used is 0 from an observer; pins counts those in use now, over all rows. */
struct peppy_stream_stats {
    uint64_t head, published, bytes, no_chunk, doorbells, scans, reclaimed_rows, max_length, last_publish_ns;
    uint64_t closed_status, closed_seq;
    uint64_t capacity, data_size; /* of the segment: address space, not memory */
    uint32_t depth, rows, live_rows, chunks, chunks_used, pins;
};

/* lost: published after start_seq and never handed out, for whatever reason, so taken + lost = cursor - start_seq.
 * Of these, skipped were still held when a lapped reader jumped to the newest, and corrupt were not what their
 * descriptor said (known to the reader alone, 0 from an observer). last_take_ns is coarse. */
struct peppy_row_stats {
    uint64_t ticket, cursor, taken, lost, skipped, corrupt, last_take_ns;
    uint32_t state, copies_forced, pid, held_now, held_max;
};

/* The reader that has most still to take, of those that hold a reliable writer. */
struct peppy_slow {
    uint64_t ticket, lag; /* messages published and not taken */
    uint32_t row;
};

/* What a descriptor says of one message. */
struct peppy_published {
    uint64_t sequence, length, publish_time_ns;
};

struct peppy_writer;
struct peppy_reader;
struct peppy_observer;

/* --- writer ------------------------------------------------------------------------------------------------------ */
int peppy_writer_create(const struct peppy_config *config, struct peppy_writer **writer);
int peppy_writer_data_fd(const struct peppy_writer *writer); /* owned by the handle; pass on, never close */
int peppy_writer_ctrl_fd(const struct peppy_writer *writer);
/* The eventfd that readers of a reliable stream ring when there is room again, -1 on other streams. After
 * PEPPY_WOULD_BLOCK: poll it, read it, publish again. At least every 100 ms publish again without a ring: nobody rings
 * for a dead reader, but publish finds its lease free. */
int peppy_writer_space_fd(const struct peppy_writer *writer);

/* Copy one message in and wake the readers that sleep. `sequence` may be NULL. PEPPY_WOULD_BLOCK: no room. */
int peppy_publish(struct peppy_writer *writer, const void *data, uint64_t length, uint64_t *sequence);
/* The same, but -EBUSY when another thread is at it: nothing is waited for. */
int peppy_publish_at_once(struct peppy_writer *writer, const void *data, uint64_t length, uint64_t *sequence);
int peppy_publish_parts(struct peppy_writer *writer, const struct peppy_part *parts, uint32_t count, uint64_t length,
                        uint64_t *sequence);

/* Zero-copy: fill loan->data, then publish or discard the chunk, once. PEPPY_WOULD_BLOCK: no room, from both; the loan
 * stays the caller's, for other messages may have come first. */
int peppy_loan_take(struct peppy_writer *writer, uint64_t length, struct peppy_loan *loan);
int peppy_loan_publish(struct peppy_writer *writer, uint32_t chunk, uint64_t length, uint64_t *sequence);
int peppy_loan_discard(struct peppy_writer *writer, uint32_t chunk);

/* Reserve a row for a reader to come. `doorbell` is its eventfd or -1; the caller keeps it open while a row names it.
 * No free row: -EUSERS. */
int peppy_row_reserve(struct peppy_writer *writer, int doorbell, int history, struct peppy_claim *claim);
/* The reader left or never came: take its row back. -EBUSY while its owner lives, -ENOENT if the ticket is another. */
int peppy_row_release(struct peppy_writer *writer, uint32_t row, uint64_t ticket);
/* Stop naming this eventfd in every row that does; afterwards the caller may close it. */
int peppy_doorbell_forget(struct peppy_writer *writer, int doorbell);
/* From now on this reader does not hold a reliable writer: what it has not taken is overwritten. -ENOENT: not its row. */
int peppy_row_overwrite(struct peppy_writer *writer, uint32_t row, uint64_t ticket);
/* Would a message find room now? PEPPY_OK, PEPPY_WOULD_BLOCK or PEPPY_CLOSED. */
int peppy_room(struct peppy_writer *writer);
/* Who holds a reliable writer most? PEPPY_EMPTY: nobody. */
int peppy_slowest(struct peppy_writer *writer, struct peppy_slow *slow);

int peppy_writer_stats(struct peppy_writer *writer, struct peppy_stream_stats *stats);
/* Say that nothing follows, wake everybody. The ring stays readable as long as somebody maps it. */
int peppy_writer_close(struct peppy_writer *writer, uint64_t status);
/* Close if still open, drop the lease, unmap. Loans must be published or discarded before. */
void peppy_writer_free(struct peppy_writer *writer);

/* --- reader ------------------------------------------------------------------------------------------------------ */
/* Validate both segments, lock the row, map. The descriptors stay the caller's and may be closed afterwards.
 * -ESTALE: row taken, ticket changed or another epoch: give the claim back and ask for a new one. Other codes are
 * those of the attach checks, one errno each (segment.c). */
int peppy_reader_open(int data_fd, int ctrl_fd, const struct peppy_claim *claim, int lapped,
                      struct peppy_reader **reader);
int peppy_reader_config(const struct peppy_reader *reader, struct peppy_config *config);
/* Ring this eventfd when a reliable writer waits for room that this reader makes. The reader keeps a duplicate. A reader
 * that never rings costs the writer up to the 100 ms after which it looks by itself. */
int peppy_reader_space(struct peppy_reader *reader, int space);

/* Pin the next message. Each success is ended by one peppy_unpin(reader, message->pin, message->data). */
int peppy_take(struct peppy_reader *reader, struct peppy_message *message);
int peppy_unpin(struct peppy_reader *reader, uint32_t pin, const void *data);
/* Copy the next message into buffer. PEPPY_TOO_LONG: nothing taken, message->length says how much room it needs. */
int peppy_take_copy(struct peppy_reader *reader, void *buffer, uint64_t room, struct peppy_message *message);
/* Up to `limit` messages in order, each at a 64-byte aligned place of buffer; ends early at the first that does not
 * fit. The rule for a lapped reader is applied once, at entry. *count says how many; 0 of them is PEPPY_EMPTY etc. */
int peppy_take_many(struct peppy_reader *reader, void *buffer, uint64_t room, struct peppy_message *messages,
                    uint32_t limit, uint32_t *count);
/* Count one view that had to be a private copy because every pin was in use. */
void peppy_copy_forced(struct peppy_reader *reader);

/* Say "I am about to sleep" and look again: PEPPY_EMPTY = armed, sleep on the doorbell; PEPPY_OK = there is something;
 * PEPPY_CLOSED = the end. */
int peppy_arm(struct peppy_reader *reader);
/* When was the message published that the next take brings (CLOCK_MONOTONIC)? 0 when that one is already lost, so that
 * who reads several streams and takes the longest-waiting first looks here at once. PEPPY_EMPTY, PEPPY_CLOSED: none. */
int peppy_waiting_since(struct peppy_reader *reader, uint64_t *publish_time_ns);
/* Wait until there is something: spin, arm, poll(doorbell), again. PEPPY_OK, PEPPY_EMPTY at the timeout, PEPPY_CLOSED,
 * -EINTR after a signal. Timeout < 0: for ever. `doorbell` is the eventfd this row was reserved with. */
int peppy_wait(struct peppy_reader *reader, int doorbell, int64_t timeout_ns, int64_t spin_ns);
/* Look again and again, awake, until there is something: PEPPY_OK, PEPPY_CLOSED, or PEPPY_EMPTY after `spin_ns`. */
int peppy_spin(struct peppy_reader *reader, int64_t spin_ns);
/* peppy_take_copy of a message that is there or comes while peppy_wait waits, in one call. Results are those of both;
 * PEPPY_AGAIN as ever: call again. */
int peppy_receive(struct peppy_reader *reader, int doorbell, int64_t timeout_ns, int64_t spin_ns, void *buffer,
                  uint64_t room, struct peppy_message *message);

/* 1 while somebody holds the writer's lease, 0 when nobody does: then take what is left before giving up. */
int peppy_writer_alive(struct peppy_reader *reader);
int peppy_reader_stats(struct peppy_reader *reader, struct peppy_row_stats *stats, uint64_t *head);
/* Give the row up. Views stay valid: the handle lives on until the last of them is unpinned. */
void peppy_reader_close(struct peppy_reader *reader);

/* --- observer: counters of somebody else's stream, without a row -------------------------------------------------- */
int peppy_observer_open(int data_fd, int ctrl_fd, struct peppy_observer **observer);
int peppy_observer_stats(struct peppy_observer *observer, struct peppy_stream_stats *stats);
int peppy_observer_row(struct peppy_observer *observer, uint32_t row, struct peppy_row_stats *stats);
/* Describe messages that are held, in order: from sequence `from` on, and of these the newest `limit`. Messages that are
 * overwritten meanwhile are left out, so sequences may have gaps. *count says how many. */
int peppy_observer_recent(struct peppy_observer *observer, uint64_t from, struct peppy_published *messages,
                          uint32_t limit, uint32_t *count);
void peppy_observer_close(struct peppy_observer *observer);

/* Version of the segment layout: another value means another, incompatible layout. */
uint64_t peppy_layout_hash(void);
