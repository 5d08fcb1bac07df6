/* The invariants of docs/design/ring.md as predicates: each ends the program when it is broken. The writer's are for
 * moments when no publish is under way; readers may run. */
#include <stdlib.h>

#include "claims.h"
#include "streams.h"

static void count_places(const struct peppy_writer *writer, uint8_t *places)
{
    const uint64_t first = writer->geometry.config.first_seq, depth = writer->geometry.config.depth;
    const uint64_t next = writer->next_seq, oldest = next - first < depth ? first : next - depth;
    for (uint32_t i = 0; i < writer->free_count; i++)
        places[writer->free[i]]++;
    for (uint32_t i = 0; i < writer->retired_count; i++)
        places[writer->retired[i]]++;
    for (uint64_t seq = oldest; seq < next; seq++)
        places[writer->shadow[seq & (writer->geometry.slots - 1)]]++;
    for (uint32_t chunk = 0; chunk < writer->geometry.chunks; chunk++)
        places[chunk] = (uint8_t)(places[chunk] + (writer->loaned[chunk] != 0));
}

/* Each used chunk is in exactly one place, an unused one in none. */
static void check_chunks(const struct peppy_writer *writer)
{
    uint8_t *places = calloc(writer->geometry.chunks, 1);
    CHECK(places);
    count_places(writer, places);
    for (uint32_t chunk = 0; chunk < writer->geometry.chunks; chunk++)
        CHECK_EQUAL(places[chunk], chunk < writer->used);
    free(places);
    CHECK(writer->loan_count <= writer->geometry.config.loans);
    const struct peppy_config *config = &writer->geometry.config;
    CHECK(writer->geometry.chunks >= config->depth + config->rows * config->pins + config->loans + 1);
}

/* A slot holds message n if and only if n is among the last `depth` published. */
static void check_descriptors(const struct peppy_writer *writer)
{
    const uint64_t first = writer->geometry.config.first_seq, depth = writer->geometry.config.depth;
    const uint64_t next = writer->next_seq, oldest = next - first < depth ? first : next - depth;
    const uint64_t mask = writer->geometry.slots - 1;
    const struct descriptor *ring = ring_of(&writer->mapping);
    uint32_t shown = 0;
    for (uint64_t slot = 0; slot <= mask; slot++)
        shown += load_relaxed(&ring[slot].seq) != 0;
    CHECK_EQUAL(shown, next - oldest);
    for (uint64_t seq = oldest; seq < next; seq++) {
        const struct descriptor *entry = &ring[seq & mask];
        CHECK_EQUAL(load_relaxed(&entry->seq), seq);
        CHECK_EQUAL(load_relaxed(&entry->chunk_flags), writer->shadow[seq & mask]);
        CHECK(load_relaxed(&entry->length) <= writer->geometry.config.capacity);
    }
    CHECK_EQUAL(load_relaxed(&hot_of(&writer->mapping)->head), next - 1);
}

static void check_rows(const struct peppy_writer *writer)
{
    for (uint32_t row = 0; row < PEPPY_MAX_ROWS; row++) {
        bool reserved = writer->reserved >> row & 1;
        CHECK(!reserved || row < writer->geometry.config.rows);
        CHECK_EQUAL(writer->ticket[row] != 0, reserved);
        CHECK(reserved || writer->doorbell[row] == -1);
        CHECK(reserved || !(writer->holding >> row & 1));
    }
}

/* Nothing that a reader still has to take has been overwritten, and what the writer remembers forbids enough. */
static void check_room(const struct peppy_writer *writer)
{
    const uint64_t depth = writer->geometry.config.depth;
    CHECK(writer->reliable || (writer->holding == 0 && writer->room_end == UINT64_MAX));
    for (uint64_t rows = writer->holding; rows; rows &= rows - 1) {
        uint32_t number = (uint32_t)__builtin_ctzll(rows);
        const struct row *row = row_of(&writer->mapping, number);
        uint64_t cursor = load_acquire(&row->state) == PEPPY_ROW_FREE ? writer->start[number] : load_ordered(&row->cursor);
        CHECK(cursor >= writer->start[number]);
        CHECK(cursor >= writer->next_seq || writer->next_seq - cursor <= depth);
        CHECK(writer->room_end <= (cursor < writer->next_seq ? cursor : writer->next_seq) + depth);
    }
}

void check_writer(const struct peppy_writer *writer)
{
    check_chunks(writer);
    check_descriptors(writer);
    check_rows(writer);
    check_room(writer);
}

/* Pins in shared memory are exactly the views and copies this process knows of. */
void check_reader(const struct peppy_reader *reader)
{
    uint32_t views = 0;
    for (uint32_t pin = 0; pin < PEPPY_MAX_PINS; pin++) {
        bool used = reader->pins_used >> pin & 1;
        CHECK_EQUAL(load_relaxed(&reader->row->pin[pin]) != 0, used);
        CHECK(used || !reader->pinned[pin]);
        views += reader->pinned[pin] != NULL;
    }
    CHECK_EQUAL(views, reader->views);
    CHECK(views < reader->geometry.config.pins);
    CHECK_EQUAL(load_relaxed(&reader->row->held_now), views);
    CHECK_EQUAL(load_relaxed(&reader->row->cursor), reader->cursor);
}
