/*
 * Where messages lie: the writer's private allocator over the chunk pool.
 *
 * A chunk number is in exactly one place: free, retired (its message has left the ring, a reader may still pin it),
 * held by the ring (shadow), out as a write loan, being filled, or never used yet. Free chunks are reused last in,
 * first out: the one just freed is the one whose cache lines are warmest.
 */
#include "core.h"

#include <sys/mman.h>

/* Memory for `length` bytes of payload: an error code now instead of SIGBUS later, and no page faults in the copy. */
static int back_chunk(struct peppy_writer *writer, uint32_t chunk, uint64_t length)
{
    const struct geometry *geometry = &writer->geometry;
    uint64_t need = sizeof(struct chunk_header) + length;
    uint64_t have = writer->backed[chunk];
    if (need <= have)
        return 0;
    uint64_t want = geometry->stride % PAGE ? geometry->stride : (need + PAGE - 1) / PAGE * PAGE;
    uint64_t first = geometry->off_pool + chunk * geometry->stride + have;
    uint64_t end = first - have + want;
    int result = segment_allocate(writer->data_fd, first, end);
    if (result)
        return result;
    uint64_t page = first / PAGE * PAGE;
    madvise(writer->mapping.data + page, end - page, MADV_POPULATE_WRITE); /* refused: the copy faults them in */
    writer->backed[chunk] = want;
    return 0;
}

/* Every pin of every reserved row, once. A wrong value can keep a chunk busy, nothing else. */
static void mark_pinned(struct peppy_writer *writer)
{
    writer->mark++;
    for (uint64_t rows = writer->reserved; rows; rows &= rows - 1) {
        const struct row *row = row_of(&writer->mapping, (uint32_t)__builtin_ctzll(rows));
        for (uint32_t pin = 0; pin < writer->geometry.config.pins; pin++) {
            uint32_t value = load_ordered(&row->pin[pin]); /* SYNC reuse, SYNC unpin (writer half) */
            if (value != 0 && value <= writer->geometry.chunks)
                writer->marks[value - 1] = writer->mark;
        }
    }
}

static bool scan(struct peppy_writer *writer)
{
    mark_pinned(writer);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < writer->retired_count; i++) {
        uint32_t chunk = writer->retired[i];
        if (writer->marks[chunk] == writer->mark)
            writer->retired[kept++] = chunk;
        else
            writer->free[writer->free_count++] = chunk;
    }
    bool freed = kept < writer->retired_count;
    writer->retired_count = kept;
    store_relaxed(&hot_of(&writer->mapping)->scans, ++writer->scans);
    return freed;
}

static void reclaim(struct peppy_writer *writer)
{
    if (writer->retired_count == 0) /* all is in the ring or on loan: no scan could free any */
        return;
    if (!scan(writer) && rows_take_back_dead(writer, true))
        scan(writer);
}

/* P1: a number, and memory behind it. */
int chunk_take(struct peppy_writer *writer, uint64_t length, uint32_t *chunk)
{
    if (writer->free_count == 0 && writer->used >= writer->easy_limit)
        reclaim(writer);
    bool fresh = writer->free_count == 0;
    if (fresh && writer->used == writer->geometry.chunks) {
        store_relaxed(&hot_of(&writer->mapping)->no_chunk, ++writer->no_chunk);
        return PEPPY_NO_CHUNK;
    }
    *chunk = fresh ? writer->used++ : writer->free[--writer->free_count];
    int result = back_chunk(writer, *chunk, length);
    if (!result)
        return PEPPY_OK;
    if (fresh) /* not used after all: a later publish may find a chunk that needs no new memory */
        writer->used--;
    else
        chunk_put_back(writer, *chunk);
    return result;
}

void chunk_put_back(struct peppy_writer *writer, uint32_t chunk)
{
    writer->free[writer->free_count++] = chunk;
}

void chunk_retire(struct peppy_writer *writer, uint32_t chunk)
{
    writer->retired[writer->retired_count++] = chunk;
}
