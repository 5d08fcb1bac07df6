/*
 * Shared memory is a stranger: readers meet mutated files and descriptors that change under their eyes, the publisher
 * meets rows full of nonsense. Nobody crashes, nobody reads outside a segment (AddressSanitizer cannot see inside a
 * mapping, so the bounds are checked here), and the publisher never fails.
 *
 * Usage: hostile rounds [seed]
 */
#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "claims.h"

#define CAPACITY 200u
#define DATA_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | 0x10)
#define CTRL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static uint64_t next_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15ull;
    uint64_t value = (*state ^ *state >> 30) * 0xbf58476d1ce4e5b9ull;
    value = (value ^ value >> 27) * 0x94d049bb133111ebull;
    return value ^ value >> 31;
}

/* Values that tend to hurt, and some that hurt only where they land. */
static uint64_t nasty(uint64_t *state)
{
    static const uint64_t values[] = {0,  1,  2,    3,         4,          7,          8,         63,
                                      64, 65, 4095, 4096, 1u << 20, 0x7fffffff, 0xffffffff, 1ull << 32};
    switch (next_random(state) % 4) {
    case 0: return values[next_random(state) % (sizeof values / sizeof *values)];
    case 1: return ~0ull - next_random(state) % 5000;
    case 2: return 1ull << next_random(state) % 64;
    default: return next_random(state);
    }
}

static void mutate(uint8_t *place, uint64_t size, uint64_t *state)
{
    uint64_t value = nasty(state);
    switch (next_random(state) % 3) {
    case 0: memcpy(place + next_random(state) % (size / 8) * 8, &value, 8); return;
    case 1: memcpy(place + next_random(state) % (size / 4) * 4, &value, 4); return;
    default: place[next_random(state) % size] ^= (uint8_t)(1u << next_random(state) % 8);
    }
}

static void check_inside(const struct peppy_reader *reader, const struct peppy_message *message)
{
    const uint8_t *pool = reader->mapping.data + reader->geometry.off_pool, *end = reader->mapping.data;
    end += reader->mapping.data_size;
    CHECK(message->data >= pool && message->data <= end);
    CHECK(message->length <= (uint64_t)(end - message->data));
}

static uint64_t sum; /* of every byte read, so that reading is not left out */

static void read_everything(struct peppy_reader *reader, int rounds)
{
    static _Thread_local uint8_t buffer[4096];
    struct peppy_message message, many[4];
    struct peppy_row_stats row;
    uint64_t head;
    uint32_t count;
    for (int i = 0; i < rounds; i++) {
        int result = peppy_take(reader, &message);
        CHECK(result >= 0);
        if (result == PEPPY_OK) {
            check_inside(reader, &message);
            for (uint64_t at = 0; at < message.length; at += PAGE)
                sum += message.data[at];
            CHECK_EQUAL(peppy_unpin(reader, message.pin, message.data), 0);
        }
        CHECK(peppy_take_copy(reader, buffer, sizeof buffer, &message) >= 0);
        CHECK(peppy_take_many(reader, buffer, sizeof buffer, many, 4, &count) >= 0 && count <= 4);
    }
    CHECK(peppy_arm(reader) >= 0);
    CHECK_EQUAL(peppy_reader_stats(reader, &row, &head), 0);
}

/* --- mutated files ------------------------------------------------------------------------------------------------ */

struct original {
    struct peppy_writer *writer;
    struct peppy_claim claim;
    uint8_t *data, *ctrl;
    uint64_t data_size, ctrl_size;
};

static uint8_t *snapshot(int fd, uint64_t size)
{
    uint8_t *bytes = malloc(size);
    CHECK(bytes);
    CHECK_EQUAL(pread(fd, bytes, size, 0), size);
    return bytes;
}

static struct original original_stream(void)
{
    struct original original = {.writer = stream_create(CAPACITY, 6, 2, 3, 1)};
    uint8_t payload[CAPACITY];
    for (uint64_t seq = 1; seq <= 20; seq++) {
        proof_fill(payload, proof_length(seq, CAPACITY), EPOCH_LO, seq);
        peppy_publish(original.writer, payload, proof_length(seq, CAPACITY), NULL);
    }
    original.claim = stream_reserve(original.writer, -1, PEPPY_HISTORY_ALL);
    original.data_size = original.writer->mapping.data_size;
    original.ctrl_size = original.writer->mapping.ctrl_size;
    original.data = snapshot(original.writer->data_fd, original.data_size);
    original.ctrl = snapshot(original.writer->ctrl_fd, original.ctrl_size);
    return original;
}

static int forged_file(const uint8_t *bytes, uint64_t size, int seals)
{
    int fd = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0);
    CHECK_EQUAL(pwrite(fd, bytes, size, 0), size);
    CHECK_EQUAL(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static void mutate_files(uint8_t *data, uint8_t *ctrl, const struct original *original, uint64_t *state)
{
    for (uint64_t count = 1 + next_random(state) % 6; count > 0; count--) {
        switch (next_random(state) % 6) {
        case 0:
        case 1: mutate(data, sizeof(struct data_header), state); break;
        case 2: mutate(data + HOT_OFFSET, sizeof(struct hot_page), state); break;
        case 3: mutate(data + RING_OFFSET, 8 * sizeof(struct descriptor), state); break;
        case 4: mutate(data + RING_OFFSET, original->data_size - RING_OFFSET, state); break;
        default: mutate(ctrl, ROWS_OFFSET + 2 * sizeof(struct row), state);
        }
    }
}

static uint64_t attach_to_mutated_files(uint64_t rounds, uint64_t *state)
{
    struct original original = original_stream();
    uint64_t accepted = 0;
    uint8_t *data = malloc(original.data_size), *ctrl = malloc(original.ctrl_size);
    for (uint64_t round = 0; round < rounds; round++) {
        struct peppy_reader *reader;
        struct peppy_observer *observer;
        struct peppy_stream_stats stats;
        memcpy(data, original.data, original.data_size);
        memcpy(ctrl, original.ctrl, original.ctrl_size);
        mutate_files(data, ctrl, &original, state);
        int data_fd = forged_file(data, original.data_size, DATA_SEALS);
        int ctrl_fd = forged_file(ctrl, original.ctrl_size, CTRL_SEALS);
        int result = peppy_reader_open(data_fd, ctrl_fd, &original.claim, (int)(round % 2), &reader);
        CHECK(result <= 0);
        if (peppy_observer_open(data_fd, ctrl_fd, &observer) == 0) {
            struct peppy_published messages[4];
            uint32_t count;
            CHECK_EQUAL(peppy_observer_stats(observer, &stats), 0);
            CHECK_EQUAL(peppy_observer_recent(observer, 0, messages, 4, &count), 0);
            CHECK(count <= 4);
            peppy_observer_close(observer);
        }
        close(data_fd);
        close(ctrl_fd);
        if (result)
            continue;
        accepted++;
        read_everything(reader, 10);
        peppy_reader_close(reader);
    }
    free(data);
    free(ctrl);
    free(original.data);
    free(original.ctrl);
    peppy_writer_free(original.writer);
    return accepted;
}

/* --- memory that changes while it is read ------------------------------------------------------------------------- */

static _Atomic int stop;

struct scribbler {
    uint8_t *place;
    uint64_t size, state;
    pthread_t thread;
};

static void *scribble(void *argument)
{
    struct scribbler *scribbler = argument;
    while (!load_relaxed(&stop))
        mutate(scribbler->place, scribbler->size, &scribbler->state);
    return NULL;
}

static void start(struct scribbler *scribbler)
{
    store_relaxed(&stop, 0);
    CHECK_EQUAL(pthread_create(&scribbler->thread, NULL, scribble, scribbler), 0);
}

static void finish(struct scribbler *scribbler)
{
    store_relaxed(&stop, 1);
    pthread_join(scribbler->thread, NULL);
}

static void read_scribbled_data(uint64_t rounds, uint64_t *state)
{
    struct peppy_writer *writer = stream_create(CAPACITY, 6, 2, 3, 1);
    struct peppy_reader *oldest = stream_attach(writer, PEPPY_HISTORY_NONE, PEPPY_LAPPED_OLDEST);
    struct peppy_reader *newest = stream_attach(writer, PEPPY_HISTORY_NONE, PEPPY_LAPPED_NEWEST);
    uint64_t pages = writer->geometry.off_pool - HOT_OFFSET;
    struct scribbler scribbler = {.place = writer->mapping.data + HOT_OFFSET, .size = pages};
    scribbler.state = next_random(state);
    start(&scribbler);
    for (uint64_t round = 0; round < rounds; round++) {
        CHECK_EQUAL(publish_number(writer, round), PEPPY_OK);
        read_everything(oldest, 1);
        read_everything(newest, 1);
    }
    finish(&scribbler);
    peppy_reader_close(oldest);
    peppy_reader_close(newest);
    peppy_writer_free(writer);
}

static void publish_over_scribbled_rows(uint64_t rounds, uint64_t *state)
{
    struct peppy_writer *writer = stream_create(CAPACITY, 6, 3, 3, 2);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, PEPPY_LAPPED_OLDEST);
    struct peppy_claim claim = stream_reserve(writer, -1, PEPPY_HISTORY_NONE);
    struct scribbler scribbler = {.place = writer->mapping.ctrl, .size = writer->mapping.ctrl_size};
    scribbler.state = next_random(state);
    start(&scribbler);
    for (uint64_t round = 0; round < rounds; round++) {
        struct peppy_loan loan;
        CHECK_EQUAL(publish_number(writer, round), PEPPY_OK);
        CHECK_EQUAL(peppy_loan_take(writer, 10, &loan), PEPPY_OK);
        CHECK_EQUAL(peppy_loan_publish(writer, loan.chunk, 10, NULL), PEPPY_OK);
        int released = peppy_row_release(writer, claim.row, claim.ticket);
        CHECK(released == 0 || released == -EBUSY || released == -ENOENT);
        (void)peppy_row_reserve(writer, -1, PEPPY_HISTORY_ALL, &claim);
        read_everything(reader, 1);
        check_writer(writer);
    }
    finish(&scribbler);
    CHECK_EQUAL(writer->no_chunk, 0);
    CHECK(writer->used <= writer->geometry.chunks);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

/* A reliable writer under the same: it publishes or says that it would have to wait, it does nothing else. */
static void wait_for_scribbled_rows(uint64_t rounds, uint64_t *state)
{
    struct peppy_writer *writer = stream_create_reliable(CAPACITY, 6, 3, 3);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, PEPPY_LAPPED_OLDEST);
    struct peppy_claim claim = stream_reserve(writer, -1, PEPPY_HISTORY_NONE);
    struct scribbler scribbler = {.place = writer->mapping.ctrl, .size = writer->mapping.ctrl_size};
    uint64_t published = 0, refused = 0;
    struct peppy_slow slow;
    scribbler.state = next_random(state);
    start(&scribbler);
    for (uint64_t round = 0; round < rounds; round++) {
        int result = publish_number(writer, round);
        CHECK(result == PEPPY_OK || result == PEPPY_WOULD_BLOCK);
        published += result == PEPPY_OK;
        refused += result == PEPPY_WOULD_BLOCK;
        if (peppy_slowest(writer, &slow) == PEPPY_OK)
            CHECK(slow.lag <= writer->next_seq - writer->geometry.config.first_seq);
        if (round % 3 == 0)
            (void)peppy_row_release(writer, claim.row, claim.ticket);
        if (round % 5 == 0)
            (void)peppy_row_reserve(writer, -1, PEPPY_HISTORY_ALL, &claim);
        if (round % 7 == 0)
            (void)peppy_row_overwrite(writer, claim.row, claim.ticket);
        read_everything(reader, 1);
    }
    finish(&scribbler);
    CHECK(published > 0 && refused > 0);
    CHECK_EQUAL(writer->no_chunk, 0);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

int main(int count, char **arguments)
{
    uint64_t rounds = count > 1 ? strtoull(arguments[1], NULL, 10) : 10000;
    uint64_t state = count > 2 ? strtoull(arguments[2], NULL, 10) : clock_ns(CLOCK_REALTIME);
    fprintf(stderr, "hostile: %lu rounds, seed %lu\n", (unsigned long)rounds, (unsigned long)state);
    uint32_t descriptors = open_descriptors(), mappings = stream_mappings();
    uint64_t accepted = attach_to_mutated_files(rounds, &state);
    CHECK(accepted > 0 && accepted < rounds); /* both ways are walked */
    read_scribbled_data(rounds, &state);
    publish_over_scribbled_rows(rounds, &state);
    wait_for_scribbled_rows(rounds, &state);
    CHECK_EQUAL(open_descriptors(), descriptors);
    CHECK_EQUAL(stream_mappings(), mappings);
    fprintf(stderr, "hostile: %lu mutated streams were accepted and read\n", (unsigned long)accepted);
    return 0;
}
