/*
 * Who reads: the writer's table of rows. A row is reserved for a consumer (fresh ticket), claimed by it (its lease),
 * and taken back when it is gone or never came. The lease decides: SETLK refused means the owner lives, whatever
 * anybody reports.
 */
#include "core.h"

#include <errno.h>

bool row_has_pins(const struct peppy_writer *writer, uint32_t row)
{
    for (uint32_t pin = 0; pin < writer->geometry.config.pins; pin++) {
        if (load_relaxed(&row_of(&writer->mapping, row)->pin[pin]) != 0)
            return true;
    }
    return false;
}

static void clear_row(struct row *row)
{
    store_release(&row->ticket, 0); /* first: a consumer that comes too late finds no ticket */
    for (uint32_t pin = 0; pin < PEPPY_MAX_PINS; pin++)
        store_release(&row->pin[pin], 0);
    store_relaxed(&row->cursor, 0);
    store_relaxed(&row->taken, 0);
    store_relaxed(&row->lost, 0);
    store_relaxed(&row->skipped, 0);
    store_relaxed(&row->last_take_ns, 0);
    store_relaxed(&row->copies_forced, 0);
    store_relaxed(&row->pid, 0);
    store_relaxed(&row->held_now, 0);
    store_relaxed(&row->held_max, 0);
    store_release(&row->state, PEPPY_ROW_FREE);
}

int row_take_back(struct peppy_writer *writer, uint32_t row)
{
    int result = lease_lock(&writer->lease, ROW_BYTE(row));
    if (result)
        return result == -EAGAIN ? -EBUSY : result;
    KILLPOINT(B1);
    clear_row(row_of(&writer->mapping, row));
    KILLPOINT(B2);
    lease_unlock(&writer->lease, ROW_BYTE(row));
    writer->doorbell[row] = -1;
    writer->ticket[row] = 0;
    writer->reserved &= ~(1ull << row);
    writer->holding &= ~(1ull << row);
    store_relaxed(&hot_of(&writer->mapping)->reclaimed_rows, ++writer->reclaimed_rows);
    return 0;
}

bool row_is_known(const struct peppy_writer *writer, uint32_t row, uint64_t ticket)
{
    return row < writer->geometry.config.rows && (writer->reserved >> row & 1) && writer->ticket[row] == ticket;
}

/* Rows whose owner has come and is dead. One at state 0 may have its consumer on the way: only the daemon knows. */
uint64_t rows_take_back_dead(struct peppy_writer *writer, bool only_pinning)
{
    uint64_t taken_back = 0;
    for (uint64_t rows = writer->reserved; rows; rows &= rows - 1) {
        uint32_t row = (uint32_t)__builtin_ctzll(rows);
        if (load_acquire(&row_of(&writer->mapping, row)->state) == PEPPY_ROW_FREE)
            continue;
        if (only_pinning && !row_has_pins(writer, row))
            continue;
        if (row_take_back(writer, row) == 0)
            taken_back |= 1ull << row;
    }
    return taken_back;
}

static uint64_t start_of(const struct peppy_writer *writer, int history)
{
    uint64_t first = writer->geometry.config.first_seq;
    uint64_t published = writer->next_seq - first;
    if (history == PEPPY_HISTORY_NONE || published == 0)
        return writer->next_seq;
    if (history == PEPPY_HISTORY_LAST)
        return writer->next_seq - 1;
    return published < writer->geometry.config.depth ? first : writer->next_seq - writer->geometry.config.depth;
}

static uint64_t free_rows(const struct peppy_writer *writer)
{
    uint64_t all = ~0ull >> (64 - writer->geometry.config.rows);
    return all & ~writer->reserved;
}

int peppy_row_reserve(struct peppy_writer *writer, int doorbell, int history, struct peppy_claim *claim)
{
    if (history < PEPPY_HISTORY_NONE || history > PEPPY_HISTORY_ALL)
        return -EINVAL;
    int result = doorbell < 0 ? 0 : doorbell_accept(doorbell);
    if (!result)
        result = writer_enter(writer);
    if (result)
        return result;
    if (!free_rows(writer))
        rows_take_back_dead(writer, false);
    uint64_t free = free_rows(writer);
    if (!free) {
        writer_leave(writer);
        return -EUSERS;
    }
    uint32_t row = (uint32_t)__builtin_ctzll(free);
    clear_row(row_of(&writer->mapping, row)); /* whatever a stranger has left there meanwhile */
    writer->reserved |= 1ull << row;
    writer->ticket[row] = writer->next_ticket++;
    writer->doorbell[row] = doorbell < 0 ? -1 : doorbell;
    *claim = (struct peppy_claim){
        .epoch_hi = writer->geometry.config.epoch_hi,
        .epoch_lo = writer->geometry.config.epoch_lo,
        .generation = writer->geometry.config.generation,
        .ticket = writer->ticket[row],
        .start_seq = start_of(writer, history),
        .row = row,
    };
    writer->start[row] = claim->start_seq;
    space_hold(writer, row);
    store_release(&row_of(&writer->mapping, row)->ticket, writer->ticket[row]); /* SYNC claim (writer half) */
    writer_leave(writer);
    return 0;
}

int peppy_row_release(struct peppy_writer *writer, uint32_t row, uint64_t ticket)
{
    int result = writer_enter(writer);
    if (result)
        return result;
    result = row_is_known(writer, row, ticket) ? row_take_back(writer, row) : -ENOENT;
    if (!result)
        space_ring(writer);
    writer_leave(writer);
    return result;
}

int peppy_doorbell_forget(struct peppy_writer *writer, int doorbell)
{
    int result = writer_enter(writer);
    if (result)
        return result;
    for (uint32_t row = 0; row < writer->geometry.config.rows; row++) {
        if (writer->doorbell[row] == doorbell)
            writer->doorbell[row] = -1;
    }
    writer_leave(writer);
    return 0;
}
