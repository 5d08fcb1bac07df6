/*
 * Counters: the writer's own view, and the view of an observer, who maps both segments read-only and holds no row.
 * Counters order nothing, so every load here is relaxed except those that say how far the stream is.
 */
#include "core.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

struct peppy_observer {
    struct geometry geometry;
    struct mapping mapping;
};

static void read_stats(const struct geometry *geometry, const struct mapping *mapping, struct peppy_stream_stats *stats)
{
    const struct hot_page *hot = hot_of(mapping);
    *stats = (struct peppy_stream_stats){
        .head = load_acquire(&hot->head),
        .published = load_relaxed(&hot->published),
        .bytes = load_relaxed(&hot->bytes),
        .no_chunk = load_relaxed(&hot->no_chunk),
        .doorbells = load_relaxed(&hot->doorbells),
        .scans = load_relaxed(&hot->scans),
        .reclaimed_rows = load_relaxed(&hot->reclaimed_rows),
        .max_length = load_relaxed(&hot->max_length),
        .last_publish_ns = load_relaxed(&hot->last_publish_ns),
        .closed_seq = load_acquire(&hot->closed_seq), /* SYNC end (reader half) */
        .capacity = geometry->config.capacity,
        .data_size = geometry->data_size,
        .depth = geometry->config.depth,
        .rows = geometry->config.rows,
        .chunks = geometry->chunks,
    };
    stats->closed_status = load_relaxed(&hot->closed_status);
    for (uint32_t number = 0; number < stats->rows; number++) {
        const struct row *row = row_of(mapping, number);
        uint32_t state = load_relaxed(&row->state);
        stats->live_rows += state == PEPPY_ROW_LIVE || state == PEPPY_ROW_CLOSING;
        for (uint32_t pin = 0; pin < geometry->config.pins; pin++)
            stats->pins += load_relaxed(&row->pin[pin]) != 0;
    }
}

int peppy_writer_stats(struct peppy_writer *writer, struct peppy_stream_stats *stats)
{
    int result = writer_enter(writer);
    if (result)
        return result;
    read_stats(&writer->geometry, &writer->mapping, stats);
    stats->chunks_used = writer->used;
    writer_leave(writer);
    return 0;
}

int peppy_observer_open(int data_fd, int ctrl_fd, struct peppy_observer **opened)
{
    struct peppy_observer observer;
    int result = segment_attach(data_fd, ctrl_fd, PROT_READ, &observer.geometry, &observer.mapping);
    if (result)
        return result;
    *opened = malloc(sizeof observer);
    if (!*opened) {
        segment_unmap(&observer.mapping);
        return -ENOMEM;
    }
    **opened = observer;
    return 0;
}

int peppy_observer_stats(struct peppy_observer *observer, struct peppy_stream_stats *stats)
{
    read_stats(&observer->geometry, &observer->mapping, stats);
    return 0;
}

int peppy_observer_row(struct peppy_observer *observer, uint32_t number, struct peppy_row_stats *stats)
{
    if (number >= observer->geometry.config.rows)
        return -ECHRNG;
    const struct row *row = row_of(&observer->mapping, number);
    *stats = (struct peppy_row_stats){
        .ticket = load_relaxed(&row->ticket),
        .cursor = load_relaxed(&row->cursor),
        .taken = load_relaxed(&row->taken),
        .lost = load_relaxed(&row->lost),
        .skipped = load_relaxed(&row->skipped),
        .last_take_ns = load_relaxed(&row->last_take_ns),
        .state = load_relaxed(&row->state),
        .copies_forced = load_relaxed(&row->copies_forced),
        .pid = load_relaxed(&row->pid),
        .held_now = load_relaxed(&row->held_now),
        .held_max = load_relaxed(&row->held_max),
    };
    return 0;
}

/* T3, T4 and T7 of a take, without a pin: the payload is not looked at, and the descriptor is words that are loaded once.
 * A field of a newer message comes with the 0 (or the number) that its writer stored before it, so the second look at
 * seq tells. */
static bool read_published(const struct descriptor *entry, uint64_t sequence, struct peppy_published *message)
{
    if (load_acquire(&entry->seq) != sequence)
        return false;
    message->sequence = sequence;
    message->length = load_acquire(&entry->length);
    message->publish_time_ns = load_acquire(&entry->publish_time_ns);
    return load_acquire(&entry->seq) == sequence;
}

int peppy_observer_recent(struct peppy_observer *observer, uint64_t from, struct peppy_published *messages,
                          uint32_t limit, uint32_t *count)
{
    const struct descriptor *ring = ring_of(&observer->mapping);
    const uint64_t depth = observer->geometry.config.depth;
    const uint64_t head = load_acquire(&hot_of(&observer->mapping)->head);
    const uint64_t most = limit < depth ? limit : depth;
    uint64_t first = head > most ? head - most + 1 : 1;
    if (first < observer->geometry.config.first_seq)
        first = observer->geometry.config.first_seq;
    if (first < from)
        first = from;
    const uint64_t held = first <= head ? head - first + 1 : 0;
    *count = 0;
    for (uint64_t sequence = first; sequence - first < held; sequence++)
        *count += read_published(&ring[sequence & (observer->geometry.slots - 1)], sequence, &messages[*count]);
    return 0;
}

void peppy_observer_close(struct peppy_observer *observer)
{
    segment_unmap(&observer->mapping);
    free(observer);
}
