/*
 * A reader's handle: claiming and giving up a row, views, copies, counters. How one message is taken stands in take.c.
 *
 * One process-local mutex guards a reader: views die on any thread. It is held across no wait and across no copy that
 * takes longer than the lock itself.
 */
#include "core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SHORT_COPY 512u /* bytes: copied in less time than two more lock operations take */

/* --- life --------------------------------------------------------------------------------------------------------- */

int reader_enter(struct peppy_reader *reader)
{
    if (lease_inherited(&reader->lease)) /* before the mutex: in a fork child it may be held for ever */
        return -ECHILD;
    pthread_mutex_lock(&reader->mutex);
    if (!reader->closing)
        return 0;
    pthread_mutex_unlock(&reader->mutex);
    return -ESHUTDOWN;
}

/* Order: pins, state, lock. Afterwards the writer may give the row to somebody else. */
static void destroy(struct peppy_reader *reader)
{
    for (uint32_t pin = 0; pin < reader->geometry.config.pins; pin++)
        store_release(&reader->row->pin[pin], 0); /* SYNC unpin (reader half) */
    KILLPOINT(R1);
    store_release(&reader->row->state, PEPPY_ROW_GONE);
    KILLPOINT(R2);
    lease_unlock(&reader->lease, ROW_BYTE(reader->row_number));
    KILLPOINT(R3);
    lease_close(&reader->lease);
    if (reader->space >= 0)
        close(reader->space);
    segment_unmap(&reader->mapping);
    pthread_mutex_destroy(&reader->mutex);
    free(reader->populated);
    free(reader);
}

/* Unlock; the last one out of a closed reader ends it. */
void reader_leave(struct peppy_reader *reader)
{
    bool last = reader->closing && reader->views == 0 && reader->calls == 0;
    pthread_mutex_unlock(&reader->mutex);
    if (last)
        destroy(reader);
}

static void clear_counters(struct row *row, uint64_t cursor)
{
    store_relaxed(&row->cursor, cursor);
    store_relaxed(&row->taken, 0);
    store_relaxed(&row->lost, 0);
    store_relaxed(&row->skipped, 0);
    store_relaxed(&row->last_take_ns, 0);
    store_relaxed(&row->copies_forced, 0);
    store_relaxed(&row->pid, (uint32_t)getpid());
    store_relaxed(&row->held_now, 0);
    store_relaxed(&row->held_max, 0);
}

/* Lock the row's byte, then compare the ticket: the writer clears the ticket before it gives a byte up. */
static int claim_row(struct peppy_reader *reader, uint64_t ticket)
{
    struct row *row = reader->row;
    int result = lease_lock(&reader->lease, ROW_BYTE(reader->row_number));
    if (result)
        return result == -EAGAIN ? -ESTALE : result;
    KILLPOINT(K1);
    if (ticket == 0 || load_acquire(&row->ticket) != ticket) { /* SYNC claim (reader half) */
        lease_unlock(&reader->lease, ROW_BYTE(reader->row_number));
        return -ESTALE;
    }
    KILLPOINT(K2);
    for (uint32_t pin = 0; pin < PEPPY_MAX_PINS; pin++)
        store_release(&row->pin[pin], 0);
    clear_counters(row, reader->cursor);
    KILLPOINT(K3);
    store_release(&row->state, PEPPY_ROW_LIVE);
    KILLPOINT(K4);
    return 0;
}

static bool same_stream(const struct peppy_config *config, const struct peppy_claim *claim)
{
    return config->epoch_hi == claim->epoch_hi && config->epoch_lo == claim->epoch_lo &&
           config->generation == claim->generation;
}

static int open_over(struct peppy_reader *reader, int ctrl_fd, const struct peppy_claim *claim)
{
    const struct peppy_config *config = &reader->geometry.config;
    if (!same_stream(config, claim))
        return -ESTALE;
    if (claim->row >= config->rows)
        return -ECHRNG;
    reader->row_number = claim->row;
    reader->reliable = config->flags & PEPPY_RELIABLE;
    reader->row = row_of(&reader->mapping, claim->row);
    reader->cursor = claim->start_seq < config->first_seq ? config->first_seq : claim->start_seq;
    reader->populated = calloc(reader->geometry.chunks, sizeof *reader->populated);
    if (!reader->populated)
        return -ENOMEM;
    int result = lease_open(&reader->lease, ctrl_fd);
    if (result)
        return result;
    result = claim_row(reader, claim->ticket);
    if (result)
        lease_close(&reader->lease);
    return result;
}

int peppy_reader_open(int data_fd, int ctrl_fd, const struct peppy_claim *claim, int lapped,
                      struct peppy_reader **opened)
{
    if (lapped != PEPPY_LAPPED_OLDEST && lapped != PEPPY_LAPPED_NEWEST)
        return -EINVAL;
    struct peppy_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return -ENOMEM;
    pthread_mutex_init(&reader->mutex, NULL);
    reader->lapped = lapped;
    reader->space = -1;
    int result = segment_attach(data_fd, ctrl_fd, PROT_READ | PROT_WRITE, &reader->geometry, &reader->mapping);
    if (!result)
        result = open_over(reader, ctrl_fd, claim);
    if (!result) {
        *opened = reader;
        return 0;
    }
    segment_unmap(&reader->mapping);
    free(reader->populated);
    free(reader);
    return result;
}

void peppy_reader_close(struct peppy_reader *reader)
{
    if (reader_enter(reader)) /* a fork child: the row is the parent's */
        return;
    reader->closing = true;
    store_release(&reader->row->state, PEPPY_ROW_CLOSING);
    KILLPOINT(R0);
    if (reader->reliable)
        reader_publish_cursor(reader, UINT64_MAX); /* it holds nobody any more, whatever views live on */
    reader_leave(reader);
}

int peppy_reader_config(const struct peppy_reader *reader, struct peppy_config *config)
{
    *config = reader->geometry.config;
    return 0;
}

/* --- views -------------------------------------------------------------------------------------------------------- */

/* Map a pinned message's pages in one call instead of one fault each; header and length only, since reading a hole
 * would allocate it. Messages of a page are left to the fault. */
static void populate(struct peppy_reader *reader, const struct peppy_message *message)
{
    const struct geometry *geometry = &reader->geometry;
    uint64_t bytes = sizeof(struct chunk_header) + message->length;
    if (bytes <= PAGE)
        return;
    uint64_t start = (uint64_t)(message->data - reader->mapping.data) - sizeof(struct chunk_header);
    word32 *populated = &reader->populated[(start - geometry->off_pool) / geometry->stride];
    uint32_t pages = (uint32_t)((bytes + PAGE - 1) / PAGE);
    if (load_relaxed(populated) >= pages) /* relaxed: a hint, populating twice is harmless */
        return;
    uint64_t page = start / PAGE * PAGE;
    madvise(reader->mapping.data + page, start + bytes - page, MADV_POPULATE_READ);
    store_relaxed(populated, pages);
}

int peppy_take(struct peppy_reader *reader, struct peppy_message *message)
{
    int result = reader_enter(reader);
    if (result)
        return result;
    result = reader_pin_next(reader, false, reader->lapped, UINT64_MAX, message);
    if (!result) {
        reader->pinned[message->pin] = message->data;
        reader->views++;
        if (reader->views > reader->held_max)
            store_relaxed(&reader->row->held_max, reader->held_max = (uint16_t)reader->views);
        store_relaxed(&reader->row->held_now, (uint16_t)reader->views);
    }
    reader_leave(reader);
    if (!result)
        populate(reader, message); /* the new view keeps the handle alive */
    return result;
}

int peppy_unpin(struct peppy_reader *reader, uint32_t pin, const void *data)
{
    if (lease_inherited(&reader->lease))
        return -ECHILD;
    pthread_mutex_lock(&reader->mutex); /* not reader_enter: views outlive the close */
    if (pin >= PEPPY_MAX_PINS || !reader->pinned[pin] || reader->pinned[pin] != data) {
        reader_leave(reader);
        return -EINVAL;
    }
    reader_clear_pin(reader, pin);
    reader->pinned[pin] = NULL;
    reader->pins_used &= ~(1u << pin);
    reader->views--;
    store_relaxed(&reader->row->held_now, (uint16_t)reader->views);
    reader_leave(reader);
    return 0;
}

/* --- copies ------------------------------------------------------------------------------------------------------- */

static int copy_next(struct peppy_reader *reader, int lapped, uint8_t *buffer, uint64_t room, uint64_t offset,
                     struct peppy_message *message)
{
    int result = reader_pin_next(reader, true, lapped, room, message);
    if (result)
        return result;
    if (message->length <= SHORT_COPY) {
        copy_bytes(buffer, message->data, message->length);
    } else {
        reader->calls++; /* the handle outlives the copy, whoever closes it meanwhile */
        pthread_mutex_unlock(&reader->mutex);
        populate(reader, message);
        memcpy(buffer, message->data, message->length);
        pthread_mutex_lock(&reader->mutex);
        reader->calls--;
    }
    reader_clear_pin(reader, message->pin);
    reader->pins_used &= ~(1u << message->pin);
    message->data = buffer;
    message->pin = (uint32_t)offset;
    return PEPPY_OK;
}

int peppy_take_copy(struct peppy_reader *reader, void *buffer, uint64_t room, struct peppy_message *message)
{
    int result = reader_enter(reader);
    if (result)
        return result;
    result = copy_next(reader, reader->lapped, buffer, room, 0, message);
    reader_leave(reader);
    return result;
}

int peppy_take_many(struct peppy_reader *reader, void *buffer, uint64_t room, struct peppy_message *messages,
                    uint32_t limit, uint32_t *count)
{
    uint64_t offset = 0;
    *count = 0;
    if (limit == 0)
        return -EINVAL;
    int result = reader_enter(reader);
    if (result)
        return result;
    while (*count < limit && offset <= room && offset <= UINT32_MAX && !reader->closing) {
        int lapped = *count == 0 ? reader->lapped : PEPPY_LAPPED_OLDEST;
        struct peppy_message *message = &messages[*count];
        result = copy_next(reader, lapped, (uint8_t *)buffer + offset, room - offset, offset, message);
        if (result)
            break;
        offset = (offset + message->length + LINE - 1) / LINE * LINE;
        ++*count;
    }
    reader_leave(reader);
    return *count ? PEPPY_OK : result;
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

void peppy_copy_forced(struct peppy_reader *reader)
{
    if (reader_enter(reader))
        return;
    store_relaxed(&reader->row->copies_forced, ++reader->copies_forced);
    reader_leave(reader);
}

int peppy_writer_alive(struct peppy_reader *reader)
{
    int result = reader_enter(reader);
    if (result)
        return result;
    result = lease_held_elsewhere(&reader->lease, WRITER_BYTE);
    reader_leave(reader);
    return result;
}

int peppy_reader_stats(struct peppy_reader *reader, struct peppy_row_stats *stats, uint64_t *head)
{
    int result = reader_enter(reader);
    if (result)
        return result;
    *head = load_acquire(&hot_of(&reader->mapping)->head);
    *stats = (struct peppy_row_stats){
        .ticket = load_relaxed(&reader->row->ticket),
        .cursor = reader->cursor,
        .taken = reader->taken,
        .lost = reader->lost,
        .skipped = reader->skipped,
        .corrupt = reader->corrupt,
        .last_take_ns = reader->last_take_ns,
        .state = load_relaxed(&reader->row->state),
        .copies_forced = reader->copies_forced,
        .pid = (uint32_t)getpid(),
        .held_now = reader->views,
        .held_max = reader->held_max,
    };
    reader_leave(reader);
    return 0;
}
