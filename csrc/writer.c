/*
 * Publishing. The steps P0 to P8, their order and their memory orders are those of docs/design/ring.md; order.h names
 * the edges. One process-local mutex guards a writer, because calls from Python run without the interpreter lock; it is
 * never held across a wait.
 */
#include "core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPARE_BYTES (256u << 10)
#define SPARE_CHUNKS 64u

int writer_enter(struct peppy_writer *writer)
{
    if (lease_inherited(&writer->lease)) /* before the mutex: in a fork child it may be held for ever */
        return -ECHILD;
    pthread_mutex_lock(&writer->mutex);
    return 0;
}

void writer_leave(struct peppy_writer *writer)
{
    pthread_mutex_unlock(&writer->mutex);
}

/* Chunks beyond the ring's own that are used before the first scan, so that one scan serves many small publishes. */
static uint32_t spare_of(const struct geometry *geometry)
{
    uint64_t spare = SPARE_BYTES / geometry->stride;
    return spare < SPARE_CHUNKS ? (uint32_t)spare : SPARE_CHUNKS;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void free_tables(struct peppy_writer *writer)
{
    free(writer->free);
    free(writer->retired);
    free(writer->shadow);
    free(writer->marks);
    free(writer->backed);
    free(writer->loaned);
    free(writer);
}

static struct peppy_writer *allocate_writer(const struct geometry *geometry)
{
    struct peppy_writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return NULL;
    writer->free = calloc(geometry->chunks, sizeof *writer->free);
    writer->retired = calloc(geometry->chunks, sizeof *writer->retired);
    writer->shadow = calloc(geometry->slots, sizeof *writer->shadow);
    writer->marks = calloc(geometry->chunks, sizeof *writer->marks);
    writer->backed = calloc(geometry->chunks, sizeof *writer->backed);
    writer->loaned = calloc(geometry->chunks, sizeof *writer->loaned);
    if (writer->free && writer->retired && writer->shadow && writer->marks && writer->backed && writer->loaned)
        return writer;
    free_tables(writer);
    return NULL;
}

static int open_lease(struct peppy_writer *writer)
{
    int result = lease_open(&writer->lease, writer->ctrl_fd);
    if (result)
        return result;
    result = lease_lock(&writer->lease, WRITER_BYTE);
    if (result)
        lease_close(&writer->lease);
    return result;
}

int peppy_writer_create(const struct peppy_config *config, struct peppy_writer **created)
{
    struct geometry geometry;
    int result = geometry_plan(config, &geometry);
    if (result)
        return result;
    struct peppy_writer *writer = allocate_writer(&geometry);
    if (!writer)
        return -ENOMEM;
    pthread_mutex_init(&writer->mutex, NULL);
    writer->geometry = geometry;
    writer->next_seq = geometry.config.first_seq;
    writer->next_ticket = 1;
    writer->easy_limit = geometry.config.depth + 1 + spare_of(&geometry);
    if (writer->easy_limit > geometry.chunks)
        writer->easy_limit = geometry.chunks;
    for (uint32_t row = 0; row < PEPPY_MAX_ROWS; row++)
        writer->doorbell[row] = -1;
    result = space_open(writer);
    if (!result)
        result = segment_create(&geometry, &writer->mapping, &writer->data_fd, &writer->ctrl_fd);
    if (!result) {
        result = open_lease(writer);
        if (!result) {
            *created = writer;
            return 0;
        }
        segment_unmap(&writer->mapping);
        close(writer->data_fd);
        close(writer->ctrl_fd);
    }
    if (writer->space_fd >= 0)
        close(writer->space_fd);
    free_tables(writer);
    return result;
}

int peppy_writer_data_fd(const struct peppy_writer *writer)
{
    return writer->data_fd;
}

int peppy_writer_ctrl_fd(const struct peppy_writer *writer)
{
    return writer->ctrl_fd;
}

int peppy_writer_space_fd(const struct peppy_writer *writer)
{
    return writer->space_fd;
}

/* P8. The exchange is unconditional: a plain look at `armed` first would lose wake-ups, because the store of P5 may
 * still wait in the store buffer while the look happens. */
static void wake_sleepers(struct peppy_writer *writer)
{
    uint64_t armed = exchange_both(&ctrl_of(&writer->mapping)->armed, 0); /* SYNC sleep (writer half) */
    KILLPOINT(P8);
    uint64_t sleepers = armed & writer->reserved;
    if (!sleepers)
        return;
    for (; sleepers; sleepers &= sleepers - 1) {
        int doorbell = writer->doorbell[__builtin_ctzll(sleepers)];
        if (doorbell < 0)
            continue;
        doorbell_ring(doorbell);
        writer->bells++;
    }
    store_relaxed(&hot_of(&writer->mapping)->doorbells, writer->bells);
}

static void close_stream(struct peppy_writer *writer, uint64_t status)
{
    if (writer->closed)
        return;
    struct hot_page *hot = hot_of(&writer->mapping);
    writer->closed = true;
    KILLPOINT(C0);
    store_release(&hot->closed_status, status);
    KILLPOINT(C1);
    store_release(&hot->closed_seq, writer->next_seq); /* SYNC end (writer half) */
    KILLPOINT(C2);
    wake_sleepers(writer);
}

int peppy_writer_close(struct peppy_writer *writer, uint64_t status)
{
    int result = writer_enter(writer);
    if (result)
        return result;
    close_stream(writer, status);
    writer_leave(writer);
    return 0;
}

void peppy_writer_free(struct peppy_writer *writer)
{
    if (peppy_writer_close(writer, 0)) /* a fork child: all of it is the parent's */
        return;
    lease_unlock(&writer->lease, WRITER_BYTE);
    KILLPOINT(C3);
    lease_close(&writer->lease);
    segment_unmap(&writer->mapping);
    close(writer->data_fd);
    close(writer->ctrl_fd);
    if (writer->space_fd >= 0)
        close(writer->space_fd);
    pthread_mutex_destroy(&writer->mutex);
    free_tables(writer);
}

/* --- publishing --------------------------------------------------------------------------------------------------- */

static uint8_t *payload_of(struct peppy_writer *writer, uint32_t chunk)
{
    return (uint8_t *)(chunk_of(&writer->geometry, &writer->mapping, chunk) + 1);
}

static void write_chunk_header(struct peppy_writer *writer, uint32_t chunk, uint64_t length)
{
    uint64_t epoch_lo = writer->geometry.config.epoch_lo;
    *chunk_of(&writer->geometry, &writer->mapping, chunk) = (struct chunk_header){
        .seq = writer->next_seq,
        .length = length,
        .epoch_lo = epoch_lo,
        .canary = canary_of(writer->next_seq, length, epoch_lo),
    };
}

static void count_publish(struct peppy_writer *writer, uint64_t length, uint64_t now)
{
    struct hot_page *hot = hot_of(&writer->mapping);
    store_relaxed(&hot->published, ++writer->published);
    store_relaxed(&hot->bytes, writer->bytes += length);
    store_relaxed(&hot->last_publish_ns, now);
    if (length <= writer->max_length)
        return;
    writer->max_length = length;
    store_relaxed(&hot->max_length, length);
}

/* P3 to P8 for a chunk whose payload is complete; under the mutex. */
static void put_in_ring(struct peppy_writer *writer, uint32_t chunk, uint64_t length, uint64_t *sequence)
{
    const uint32_t depth = writer->geometry.config.depth, mask = writer->geometry.slots - 1;
    struct hot_page *hot = hot_of(&writer->mapping);
    struct descriptor *ring = ring_of(&writer->mapping);
    const uint64_t seq = writer->next_seq;
    struct descriptor *entry = &ring[seq & mask]; /* the oldest's own place if slots == depth, else one that reads 0 */
    write_chunk_header(writer, chunk, length);
    KILLPOINT(P2);
    store_ordered(&ring[(seq - depth) & mask].seq, 0); /* P3, SYNC reuse (writer half) */
    KILLPOINT(P3);
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    store_release(&entry->chunk_flags, (uint64_t)chunk); /* P4; flags are 0 */
    store_release(&entry->length, length);
    store_release(&entry->publish_time_ns, now);
    KILLPOINT(P4);
    store_release(&entry->seq, seq); /* P5, SYNC ready (writer half): from here on the message exists */
    KILLPOINT(P5);
    store_release(&hot->head, seq); /* P6 */
    KILLPOINT(P6);
    if (seq - writer->geometry.config.first_seq >= depth) /* P7 */
        chunk_retire(writer, writer->shadow[(seq - depth) & mask]);
    writer->shadow[seq & mask] = chunk;
    writer->next_seq = seq + 1;
    KILLPOINT(P7);
    count_publish(writer, length, now);
    if (sequence)
        *sequence = seq;
    wake_sleepers(writer); /* P8 */
}

/* P0 and P1 under the mutex: refuse, or find a chunk. On PEPPY_OK the mutex stays held. */
static int admit(struct peppy_writer *writer, uint64_t length, uint32_t *chunk)
{
    int result;
    KILLPOINT(P0);
    if (writer->closed)
        result = PEPPY_CLOSED;
    else if (length > writer->geometry.config.capacity)
        result = PEPPY_TOO_LONG;
    else if (!has_room(writer))
        result = PEPPY_WOULD_BLOCK;
    else
        result = chunk_take(writer, length, chunk);
    if (result) {
        writer_leave(writer);
        return result;
    }
    KILLPOINT(P1);
    return PEPPY_OK;
}

static int begin(struct peppy_writer *writer, uint64_t length, uint32_t *chunk)
{
    int result = writer_enter(writer);
    return result ? result : admit(writer, length, chunk);
}

static int publish_entered(struct peppy_writer *writer, const void *data, uint64_t length, uint64_t *sequence)
{
    uint32_t chunk;
    int result = admit(writer, length, &chunk);
    if (result)
        return result;
    copy_bytes(payload_of(writer, chunk), data, length); /* P2 */
    put_in_ring(writer, chunk, length, sequence);
    writer_leave(writer);
    return PEPPY_OK;
}

int peppy_publish(struct peppy_writer *writer, const void *data, uint64_t length, uint64_t *sequence)
{
    int result = writer_enter(writer);
    return result ? result : publish_entered(writer, data, length, sequence);
}

int peppy_publish_at_once(struct peppy_writer *writer, const void *data, uint64_t length, uint64_t *sequence)
{
    if (lease_inherited(&writer->lease))
        return -ECHILD;
    if (pthread_mutex_trylock(&writer->mutex))
        return -EBUSY;
    return publish_entered(writer, data, length, sequence);
}

/* Parts come in ascending order and do not overlap; what no part covers is zeroed, so no old message shines through. */
static bool parts_fit(const struct peppy_part *parts, uint32_t count, uint64_t length)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (parts[i].offset < end || parts[i].offset > length || parts[i].length > length - parts[i].offset)
            return false;
        end = parts[i].offset + parts[i].length;
    }
    return true;
}

static void gather(uint8_t *payload, const struct peppy_part *parts, uint32_t count, uint64_t length)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < count; i++) {
        memset(payload + end, 0, parts[i].offset - end);
        copy_bytes(payload + parts[i].offset, parts[i].data, parts[i].length);
        end = parts[i].offset + parts[i].length;
    }
    memset(payload + end, 0, length - end);
}

int peppy_publish_parts(struct peppy_writer *writer, const struct peppy_part *parts, uint32_t count, uint64_t length,
                        uint64_t *sequence)
{
    uint32_t chunk;
    if (!parts_fit(parts, count, length))
        return -EINVAL;
    int result = begin(writer, length, &chunk);
    if (result)
        return result;
    gather(payload_of(writer, chunk), parts, count, length); /* P2 */
    put_in_ring(writer, chunk, length, sequence);
    writer_leave(writer);
    return PEPPY_OK;
}

/* --- loans: the caller does P2 in place --------------------------------------------------------------------------- */

int peppy_loan_take(struct peppy_writer *writer, uint64_t length, struct peppy_loan *loan)
{
    int result = writer_enter(writer);
    if (result)
        return result;
    if (writer->closed)
        result = PEPPY_CLOSED;
    else if (length > writer->geometry.config.capacity)
        result = PEPPY_TOO_LONG;
    else if (writer->loan_count == writer->geometry.config.loans)
        result = PEPPY_TOO_MANY_HELD;
    else if (!has_room(writer))
        result = PEPPY_WOULD_BLOCK;
    else
        result = chunk_take(writer, length, &loan->chunk);
    if (!result) {
        writer->loan_count++;
        writer->loaned[loan->chunk] = 1 + length;
        loan->data = payload_of(writer, loan->chunk);
        loan->length = length;
        KILLPOINT(L1);
    }
    writer_leave(writer);
    return result;
}

/* The loan's length + 1 while the caller holds this chunk as a loan, else 0. */
static uint64_t loan_of(const struct peppy_writer *writer, uint32_t chunk)
{
    return chunk < writer->geometry.chunks ? writer->loaned[chunk] : 0;
}

static void end_loan(struct peppy_writer *writer, uint32_t chunk)
{
    writer->loaned[chunk] = 0;
    writer->loan_count--;
}

int peppy_loan_publish(struct peppy_writer *writer, uint32_t chunk, uint64_t length, uint64_t *sequence)
{
    int result = writer_enter(writer);
    if (result)
        return result;
    uint64_t loan = loan_of(writer, chunk);
    if (loan == 0)
        result = -EINVAL;
    else if (writer->closed)
        result = PEPPY_CLOSED;
    else if (length >= loan)
        result = PEPPY_TOO_LONG;
    else if (!has_room(writer))
        result = PEPPY_WOULD_BLOCK;
    if (!result) {
        end_loan(writer, chunk);
        put_in_ring(writer, chunk, length, sequence);
    }
    writer_leave(writer);
    return result;
}

int peppy_loan_discard(struct peppy_writer *writer, uint32_t chunk)
{
    int result = writer_enter(writer);
    if (result)
        return result;
    if (loan_of(writer, chunk)) {
        end_loan(writer, chunk);
        chunk_put_back(writer, chunk);
    } else {
        result = -EINVAL;
    }
    writer_leave(writer);
    return result;
}
