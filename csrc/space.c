/*
 * Room on reliable streams: nothing is overwritten that a reader still has to take. Readers publish their cursors, the
 * writer looks at them when its last look forbids the next message, and says so before it waits. Waiting itself is the
 * caller's, outside the mutex. Rules and proof: docs/design/ring.md, Reliable streams.
 *
 * Everything read here is a stranger's word: a cursor is clamped to what its row was promised and what was published, so
 * that a wrong one costs its own reader messages, or the writer one publish timeout.
 */
#include "core.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* --- writer ------------------------------------------------------------------------------------------------------- */

int space_open(struct peppy_writer *writer)
{
    writer->reliable = writer->geometry.config.flags & PEPPY_RELIABLE;
    writer->room_end = UINT64_MAX;
    writer->space_fd = writer->reliable ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) : -1;
    return writer->reliable && writer->space_fd < 0 ? -errno : 0;
}

/* Wake the waiting writer of this process: a row has gone, or holds it no longer. */
void space_ring(const struct peppy_writer *writer)
{
    if (writer->space_fd >= 0)
        doorbell_ring(writer->space_fd);
}

/* From now on `row`, just reserved, is waited for: from its first message on, whenever its reader comes. */
void space_hold(struct peppy_writer *writer, uint32_t row)
{
    if (!writer->reliable)
        return;
    uint64_t room_end = writer->start[row] + writer->geometry.config.depth;
    writer->holding |= 1ull << row;
    if (room_end < writer->room_end)
        writer->room_end = room_end;
}

/* The next sequence this row's reader takes. One that has not come yet takes what it was promised. */
static uint64_t cursor_of(const struct peppy_writer *writer, uint32_t number)
{
    const struct row *row = row_of(&writer->mapping, number);
    uint64_t start = writer->start[number];
    if (load_acquire(&row->state) == PEPPY_ROW_FREE) /* SYNC claim */
        return start;
    uint64_t cursor = load_ordered(&row->cursor); /* SYNC space (writer half) */
    if (cursor < start)
        return start;
    return cursor < writer->next_seq ? cursor : writer->next_seq;
}

/* One look at every cursor: the rows that have not taken the message which the next one overwrites. */
static uint64_t rows_in_the_way(struct peppy_writer *writer)
{
    const uint64_t depth = writer->geometry.config.depth;
    uint64_t lowest = UINT64_MAX, in_the_way = 0;
    for (uint64_t rows = writer->holding; rows; rows &= rows - 1) {
        uint32_t row = (uint32_t)__builtin_ctzll(rows);
        uint64_t cursor = cursor_of(writer, row);
        if (cursor < lowest)
            lowest = cursor;
        if (writer->next_seq - cursor >= depth)
            in_the_way |= 1ull << row;
    }
    writer->room_end = lowest == UINT64_MAX ? UINT64_MAX : lowest + depth;
    return in_the_way;
}

/* P1 when the cached bound forbids. Afterwards either there is room, or who makes it sees that it is wanted. */
bool space_found(struct peppy_writer *writer)
{
    if (!rows_in_the_way(writer))
        return true;
    store_ordered(&ctrl_of(&writer->mapping)->wants_space, 1); /* SYNC space (writer half) */
    KILLPOINT(W1);
    uint64_t in_the_way = rows_in_the_way(writer);
    KILLPOINT(W2);
    uint64_t taken_back = 0;
    for (uint64_t rows = in_the_way; rows; rows &= rows - 1) {
        uint32_t row = (uint32_t)__builtin_ctzll(rows);
        if (load_acquire(&row_of(&writer->mapping, row)->state) == PEPPY_ROW_FREE)
            continue; /* its consumer may be on the way: only the daemon knows */
        if (row_take_back(writer, row) == 0)
            taken_back |= 1ull << row;
    }
    if (taken_back)
        in_the_way = rows_in_the_way(writer);
    return in_the_way == 0;
}

int peppy_room(struct peppy_writer *writer)
{
    int result = writer_enter(writer);
    if (result)
        return result;
    result = writer->closed ? PEPPY_CLOSED : has_room(writer) ? PEPPY_OK : PEPPY_WOULD_BLOCK;
    writer_leave(writer);
    return result;
}

int peppy_row_overwrite(struct peppy_writer *writer, uint32_t row, uint64_t ticket)
{
    int result = writer_enter(writer);
    if (result)
        return result;
    if (!row_is_known(writer, row, ticket))
        result = -ENOENT;
    else if (writer->holding >> row & 1) {
        writer->holding &= ~(1ull << row);
        writer->room_end = writer->next_seq; /* the next message looks again */
        space_ring(writer);
    }
    writer_leave(writer);
    return result;
}

int peppy_slowest(struct peppy_writer *writer, struct peppy_slow *slow)
{
    int result = writer_enter(writer);
    if (result)
        return result;
    result = PEPPY_EMPTY;
    for (uint64_t rows = writer->holding; rows; rows &= rows - 1) {
        uint32_t row = (uint32_t)__builtin_ctzll(rows);
        uint64_t lag = writer->next_seq - cursor_of(writer, row);
        if (result == PEPPY_OK && lag <= slow->lag)
            continue;
        *slow = (struct peppy_slow){.ticket = writer->ticket[row], .lag = lag, .row = row};
        result = PEPPY_OK;
    }
    writer_leave(writer);
    return result;
}

/* --- reader ------------------------------------------------------------------------------------------------------- */

/* S1 to S3: everything below `cursor` may be overwritten. Who cannot ring leaves the wish to those who can. */
void reader_publish_cursor(struct peppy_reader *reader, uint64_t cursor)
{
    word32 *wants_space = &ctrl_of(&reader->mapping)->wants_space;
    store_ordered(&reader->row->cursor, cursor); /* S1, SYNC space (reader half) */
    KILLPOINT(S1);
    if (reader->space < 0 || load_ordered(wants_space) == 0)
        return;
    uint32_t wanted = exchange_both(wants_space, 0); /* S2 */
    KILLPOINT(S2);
    if (wanted)
        doorbell_ring(reader->space); /* S3 */
    KILLPOINT(S3);
}

int peppy_reader_space(struct peppy_reader *reader, int space)
{
    int result = doorbell_accept(space);
    if (result)
        return result;
    int duplicate = fcntl(space, F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0)
        return -errno;
    result = reader_enter(reader);
    if (result) {
        close(duplicate);
        return result;
    }
    int before = reader->space;
    reader->space = duplicate;
    reader_leave(reader);
    if (before >= 0)
        close(before);
    return 0;
}
