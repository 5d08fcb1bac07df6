/*
 * Taking one message. The steps T1 to T8, their order and their memory orders are those of docs/design/ring.md; order.h
 * names the edges. A message is pinned, looked at a second time, and only then read: from there on its chunk is
 * immutable until the pin is cleared.
 */
#include "core.h"

#define LOST_RACES 64u    /* before take gives its caller a say */
#define STAMP_INTERVAL 64u /* messages of a backlog that share one last_take_ns */

static bool is_ended(const struct peppy_reader *reader)
{
    uint64_t end = load_acquire(&hot_of(&reader->mapping)->closed_seq); /* SYNC end (reader half) */
    return end != 0 && reader->cursor >= end;
}

/* T1. The largest number is no sequence: nothing would ever be behind it, so a reader could not catch up with it. */
static uint64_t head_of(const struct peppy_reader *reader)
{
    uint64_t head = load_acquire(&hot_of(&reader->mapping)->head);
    return head < UINT64_MAX ? head : UINT64_MAX - 1;
}

/* T1 and T3 without taking: PEPPY_OK = there is something, PEPPY_CLOSED = nothing will ever be, else PEPPY_EMPTY. */
int reader_look(const struct peppy_reader *reader)
{
    bool ended = is_ended(reader);
    const struct descriptor *entry = &ring_of(&reader->mapping)[reader->cursor & (reader->geometry.slots - 1)];
    if (reader->cursor <= head_of(reader))
        return PEPPY_OK;
    if (load_acquire(&entry->seq) == reader->cursor) /* published, and head not yet moved */
        return PEPPY_OK;
    return ended ? PEPPY_CLOSED : PEPPY_EMPTY;
}

/* Every message passed over counts as lost, whether it was overwritten or jumped over. */
static void step_over(struct peppy_reader *reader, uint64_t messages)
{
    reader->lost += messages;
    reader->cursor += messages;
    store_relaxed(&reader->row->lost, reader->lost);
    reader_moved(reader);
}

static void step_over_corrupt(struct peppy_reader *reader)
{
    reader->corrupt++;
    step_over(reader, 1);
}

/* T2. The oldest message is the one the next publish destroys: after `races` lost ones the reader keeps a distance that
 * doubles each time, so it gets ahead of any publisher. */
static void catch_up(struct peppy_reader *reader, uint64_t head, int lapped, uint32_t races)
{
    const uint64_t depth = reader->geometry.config.depth, behind = head - reader->cursor;
    if (lapped == PEPPY_LAPPED_NEWEST && (behind >= depth || races)) {
        uint64_t held = behind < depth ? behind : depth - 1;
        reader->skipped += held;
        store_relaxed(&reader->row->skipped, reader->skipped);
        step_over(reader, behind);
        return;
    }
    uint64_t distance = races == 0 ? 0 : races < 14 && 1u << races < depth / 2 ? 1u << races : depth / 2;
    if (behind + distance >= depth)
        step_over(reader, behind + distance - depth + 1);
}

struct seen { /* a descriptor, each field read once */
    uint64_t seq, length, publish_time_ns;
    uint32_t chunk, flags;
};

enum finding { FOUND, NOTHING, GONE, NONSENSE };

/* T3 and T4. */
static enum finding read_descriptor(const struct peppy_reader *reader, uint64_t head, struct seen *seen)
{
    const struct descriptor *entry = &ring_of(&reader->mapping)[reader->cursor & (reader->geometry.slots - 1)];
    uint64_t seq = load_acquire(&entry->seq); /* T3, SYNC ready (reader half) */
    KILLPOINT(T3);
    if (seq != reader->cursor) {
        if (reader->cursor > head) /* 0 only means "being written now": never step over it */
            return NOTHING;
        return seq == 0 || seq > reader->cursor ? GONE : NONSENSE;
    }
    uint64_t chunk_flags = load_acquire(&entry->chunk_flags); /* T4 */
    seen->seq = seq;
    seen->chunk = (uint32_t)chunk_flags;
    seen->flags = (uint32_t)(chunk_flags >> 32);
    seen->length = load_acquire(&entry->length);
    seen->publish_time_ns = load_acquire(&entry->publish_time_ns);
    KILLPOINT(T4);
    if (seen->chunk >= reader->geometry.chunks || seen->length > reader->geometry.config.capacity)
        return NONSENSE;
    return FOUND;
}

/* T6 and T7: name the chunk, then look again whether the message is still there. */
static bool pin_message(struct peppy_reader *reader, uint32_t pin, const struct seen *seen)
{
#ifdef PEPPY_MUTANT_NO_PIN /* the sanitizers must notice that this is missing: make tsan */
    (void)pin;
#else
    store_ordered(&reader->row->pin[pin], seen->chunk + 1); /* T6, SYNC reuse (reader half) */
#endif
    KILLPOINT(T6);
    const struct descriptor *entry = &ring_of(&reader->mapping)[reader->cursor & (reader->geometry.slots - 1)];
    bool still = load_ordered(&entry->seq) == seen->seq; /* T7, SYNC reuse (reader half) */
    KILLPOINT(T7);
    return still;
}

void reader_clear_pin(struct peppy_reader *reader, uint32_t pin)
{
    store_release(&reader->row->pin[pin], 0); /* SYNC unpin (reader half) */
    KILLPOINT(U1);
}

/* T8: does the chunk belong to this descriptor? */
static bool chunk_matches(const struct peppy_reader *reader, const struct seen *seen)
{
    const struct chunk_header *header = chunk_of(&reader->geometry, &reader->mapping, seen->chunk);
    uint64_t epoch_lo = reader->geometry.config.epoch_lo;
    return header->seq == seen->seq && header->length == seen->length && header->epoch_lo == epoch_lo &&
           header->canary == canary_of(seen->seq, seen->length, epoch_lo);
}

/* T5. Views use the low pins and leave the last one alone; copies look from the top, so one of them always finds it. */
static int choose_pin(const struct peppy_reader *reader, bool for_copy)
{
    const uint32_t pins = reader->geometry.config.pins;
    uint32_t all = (1u << pins) - 1, unused = all & ~reader->pins_used;
    if (for_copy)
        return unused ? 31 - __builtin_clz(unused) : -1;
    unused &= all >> 1;
    return unused ? __builtin_ctz(unused) : -1;
}

static void count_taken(struct peppy_reader *reader)
{
    reader->cursor++;
    store_relaxed(&reader->row->taken, ++reader->taken);
    reader_moved(reader);
    if (reader->until_stamp-- > 0)
        return;
    reader->until_stamp = STAMP_INTERVAL - 1;
    reader->last_take_ns = clock_ns(CLOCK_MONOTONIC_COARSE);
    store_relaxed(&reader->row->last_take_ns, reader->last_take_ns);
}

static int nothing_now(struct peppy_reader *reader)
{
    reader->until_stamp = 0; /* the next message is not part of this backlog */
    return is_ended(reader) ? PEPPY_CLOSED : PEPPY_EMPTY;
}

static void describe(const struct peppy_reader *reader, const struct seen *seen, uint32_t pin,
                     struct peppy_message *message)
{
    *message = (struct peppy_message){
        .data = (const uint8_t *)(chunk_of(&reader->geometry, &reader->mapping, seen->chunk) + 1),
        .length = seen->length,
        .sequence = seen->seq,
        .publish_time_ns = seen->publish_time_ns,
        .pin = pin,
        .flags = seen->flags,
    };
}

/* T1 to T8 under the mutex. On PEPPY_OK message->pin is in use and holds the message. A message of more than `room`
 * bytes is left where it is: PEPPY_TOO_LONG. */
int reader_pin_next(struct peppy_reader *reader, bool for_copy, int lapped, uint64_t room,
                    struct peppy_message *message)
{
    uint32_t races = 0;
    for (uint32_t tries = 0; tries < LOST_RACES; tries++) {
        uint64_t head = head_of(reader); /* T1 */
        KILLPOINT(T1);
        if (reader->cursor <= head)
            catch_up(reader, head, lapped, races); /* T2 */
        KILLPOINT(T2);
        struct seen seen;
        enum finding finding = read_descriptor(reader, head, &seen);
        if (finding == NOTHING)
            return nothing_now(reader);
        if (finding == GONE) {
            step_over(reader, 1);
            races++;
            continue;
        }
        if (finding == NONSENSE) {
            step_over_corrupt(reader);
            continue;
        }
        int pin = choose_pin(reader, for_copy); /* T5 */
        KILLPOINT(T5);
        if (pin < 0) /* several threads copy at once and hold even the copies' pin: theirs is a matter of moments */
            return for_copy ? PEPPY_AGAIN : PEPPY_TOO_MANY_HELD;
        if (!pin_message(reader, (uint32_t)pin, &seen)) {
            reader_clear_pin(reader, (uint32_t)pin);
            step_over(reader, 1);
            races++;
            continue;
        }
        if (!chunk_matches(reader, &seen)) { /* T8 */
            reader_clear_pin(reader, (uint32_t)pin);
            step_over_corrupt(reader);
            continue;
        }
        describe(reader, &seen, (uint32_t)pin, message);
        if (seen.length > room) {
            reader_clear_pin(reader, (uint32_t)pin);
            message->data = NULL;
            return PEPPY_TOO_LONG;
        }
        reader->pins_used |= 1u << pin;
        count_taken(reader);
        KILLPOINT(T8);
        return PEPPY_OK;
    }
    return PEPPY_AGAIN;
}
