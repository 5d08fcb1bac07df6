/*
 * SIGKILL at random. First publishers die under a living subscriber, then subscribers under a living publisher (beside
 * one subscriber that stays). Every byte of every message is proved; nothing may tear, hang, block or be left behind.
 *
 * Usage: torture kills [seed]
 */
#include "passing.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "claims.h"
#include "processes.h"

#define SECOND 1000000000ull
#define LARGEST (8u << 20)

static uint64_t next_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15ull;
    uint64_t value = (*state ^ *state >> 30) * 0xbf58476d1ce4e5b9ull;
    value = (value ^ value >> 27) * 0x94d049bb133111ebull;
    return value ^ value >> 31;
}

/* Mostly small, sometimes frames, rarely the largest there is. */
static uint64_t random_capacity(uint64_t *state)
{
    uint64_t kind = next_random(state) % 40;
    if (kind == 0)
        return LARGEST;
    if (kind < 4)
        return 1u << 20;
    return kind < 20 ? 64 : kind < 30 ? 1500 : 65536;
}

static void prove(const struct peppy_reader *reader, const struct peppy_message *message)
{
    const struct peppy_config *config = &reader->geometry.config;
    CHECK_EQUAL(message->length, proof_length(message->sequence, config->capacity));
    CHECK(proof_holds(message->data, message->length, config->epoch_lo, message->sequence));
}

/* By copy, by parts and by loan in turn. */
static void publish_proof(struct peppy_writer *writer, uint8_t *payload)
{
    const struct peppy_config *config = &writer->geometry.config;
    uint64_t seq = writer->next_seq, length = proof_length(seq, config->capacity);
    struct peppy_loan loan;
    if (seq % 3 == 0) {
        WHEN_THERE_IS_ROOM(writer, peppy_loan_take(writer, length, &loan));
        proof_fill(loan.data, length, config->epoch_lo, seq);
        WHEN_THERE_IS_ROOM(writer, peppy_loan_publish(writer, loan.chunk, length, NULL));
        return;
    }
    proof_fill(payload, length, config->epoch_lo, seq);
    struct peppy_part parts[2] = {{payload, length / 2, 0}, {payload + length / 2, length - length / 2, length / 2}};
    if (seq % 3 == 1)
        WHEN_THERE_IS_ROOM(writer, peppy_publish(writer, payload, length, NULL));
    else
        WHEN_THERE_IS_ROOM(writer, peppy_publish_parts(writer, parts, 2, length, NULL));
}

/* --- publishers die ----------------------------------------------------------------------------------------------- */

static struct peppy_config random_stream(uint64_t *state)
{
    uint64_t capacity = random_capacity(state);
    struct peppy_config config = stream_config(capacity, 4 + (uint32_t)(next_random(state) % 12), 3, 3, 2);
    config.epoch_lo = next_random(state);
    config.flags = next_random(state) % 2 ? PEPPY_RELIABLE : 0;
    return config;
}

static void publisher(int socket, int bell, const struct peppy_config *config)
{
    struct peppy_writer *writer;
    CHECK_EQUAL(peppy_writer_create(config, &writer), 0);
    uint8_t *payload = malloc(writer->geometry.config.capacity);
    CHECK(payload);
    struct peppy_claim claim = stream_reserve(writer, bell, PEPPY_HISTORY_ALL);
    send_ticket(socket, writer, &claim);
    for (;;)
        publish_proof(writer, payload);
}

static uint64_t take_all(struct peppy_reader *reader, uint64_t limit)
{
    struct peppy_message message;
    uint64_t taken = 0;
    int result = PEPPY_OK;
    while (taken < limit && (result = peppy_take(reader, &message)) != PEPPY_EMPTY) {
        if (result == PEPPY_AGAIN)
            continue;
        CHECK_EQUAL(result, PEPPY_OK);
        prove(reader, &message);
        CHECK_EQUAL(peppy_unpin(reader, message.pin, message.data), 0);
        taken++;
    }
    return taken;
}

static void kill_publisher(uint64_t *state)
{
    struct peppy_config config = random_stream(state);
    int sockets[2], bell = new_doorbell();
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    uint64_t born = clock_ns(CLOCK_MONOTONIC);
    pid_t child = fork_child();
    if (child == 0)
        publisher(sockets[1], bell, &config);
    struct ticket ticket = receive_ticket(sockets[0]);
    struct peppy_reader *reader = open_ticket(&ticket, PEPPY_LAPPED_OLDEST);
    CHECK_EQUAL(peppy_wait(reader, bell, (int64_t)SECOND, 0), PEPPY_OK);
    CHECK(clock_ns(CLOCK_MONOTONIC) - born < SECOND); /* the next publisher's first message */
    uint64_t end = clock_ns(CLOCK_MONOTONIC) + next_random(state) % 4000000;
    while (clock_ns(CLOCK_MONOTONIC) < end) {
        if (take_all(reader, 50) == 0)
            CHECK(peppy_wait(reader, bell, 1000000, 0) >= 0);
    }
    kill_child(child);
    uint64_t killed = clock_ns(CLOCK_MONOTONIC), head;
    struct peppy_row_stats stats;
    CHECK_EQUAL(peppy_writer_alive(reader), 0);
    take_all(reader, ~0ull);
    CHECK(clock_ns(CLOCK_MONOTONIC) - killed < SECOND);
    CHECK_EQUAL(peppy_reader_stats(reader, &stats, &head), 0);
    CHECK(stats.taken > 0);
    CHECK_EQUAL(stats.corrupt, 0);
    CHECK_EQUAL(stats.taken + stats.lost, stats.cursor - 1);
    CHECK(!(config.flags & PEPPY_RELIABLE) || stats.lost == 0);
    CHECK(stats.cursor - 1 == head || stats.cursor - 1 == head + 1); /* death between P5 and P6 */
    check_reader(reader);
    peppy_reader_close(reader);
    close_ends(sockets);
    close(bell);
}

/* --- subscribers die ---------------------------------------------------------------------------------------------- */

static void subscriber(struct peppy_writer *writer, const struct peppy_claim *claim, int bell, uint64_t seed)
{
    const struct peppy_config *config = &writer->geometry.config;
    struct peppy_reader *reader = stream_claim(writer, claim, (int)(seed % 2));
    struct peppy_message held[PEPPY_MAX_PINS] = {{0}}, message;
    uint8_t *buffer = malloc(config->capacity);
    CHECK(buffer);
    for (;;) {
        uint64_t choice = next_random(&seed);
        struct peppy_message *view = &held[choice % (config->pins - 1)];
        if (view->data) {
            prove(reader, view);
            CHECK_EQUAL(peppy_unpin(reader, view->pin, view->data), 0);
            view->data = NULL;
        }
        bool copy = choice >> 32 & 1;
        int result = copy ? peppy_take_copy(reader, buffer, config->capacity, &message) : peppy_take(reader, &message);
        if (result == PEPPY_EMPTY)
            peppy_wait(reader, bell, -1, 0);
        if (result != PEPPY_OK)
            continue;
        prove(reader, &message);
        if (!copy)
            *view = message;
    }
}

static void release_if_it_never_came(struct peppy_writer *writer, const struct peppy_claim *claim)
{
    if (load_relaxed(&row_of(&writer->mapping, claim->row)->state) != PEPPY_ROW_FREE)
        return;
    int released = peppy_row_release(writer, claim->row, claim->ticket);
    CHECK(released == 0 || released == -ENOENT);
}

/* One life of a publisher: up to `kills` subscribers come and are killed while it publishes. */
static void kill_subscribers(uint64_t kills, uint64_t *state)
{
    struct peppy_config config = random_stream(state);
    struct peppy_writer *writer;
    CHECK_EQUAL(peppy_writer_create(&config, &writer), 0);
    struct peppy_reader *witness = stream_attach(writer, PEPPY_HISTORY_NONE, PEPPY_LAPPED_OLDEST);
    uint8_t *payload = malloc(writer->geometry.config.capacity);
    CHECK(payload);
    for (uint64_t kill = 0; kill < kills; kill++) {
        int bell = new_doorbell();
        struct peppy_claim claim = stream_reserve(writer, bell, PEPPY_HISTORY_ALL);
        pid_t child = fork_child();
        if (child == 0)
            subscriber(writer, &claim, bell, next_random(state));
        const struct row *row = row_of(&writer->mapping, claim.row);
        uint64_t wanted = next_random(state) % 30; /* its kill comes at random, after this many messages taken */
        uint64_t end = clock_ns(CLOCK_MONOTONIC) + 10 * SECOND;
        while (load_relaxed(&row->taken) < wanted) {
            if (peppy_room(writer) == PEPPY_OK)
                publish_proof(writer, payload);
            take_all(witness, 2);
            sched_yield();
            CHECK(clock_ns(CLOCK_MONOTONIC) < end);
        }
        kill_child(child);
        for (uint32_t i = 0; i < 3; i++) {
            take_all(witness, ~0ull);
            release_if_it_never_came(writer, &claim);
            publish_proof(writer, payload); /* without waiting for the daemon: the lease says that nobody reads */
        }
        CHECK_EQUAL(peppy_doorbell_forget(writer, bell), 0);
        close(bell);
        /* The daemon's notice; without it reclaim or the next reservation finds the dead row, unless it never came. */
        release_if_it_never_came(writer, &claim);
        if (next_random(state) % 2) {
            int released = peppy_row_release(writer, claim.row, claim.ticket);
            CHECK(released == 0 || released == -ENOENT);
        }
        check_writer(writer);
    }
    take_all(witness, ~0ull);
    CHECK_EQUAL(witness->corrupt, 0);
    CHECK_EQUAL(witness->taken + witness->lost, writer->next_seq - 1);
    CHECK(!writer->reliable || witness->lost == 0);
    CHECK_EQUAL(writer->no_chunk, 0);
    peppy_reader_close(witness);
    rows_take_back_dead(writer, false);
    struct peppy_stream_stats stats;
    CHECK_EQUAL(peppy_writer_stats(writer, &stats), 0);
    CHECK_EQUAL(stats.pins, 0);
    CHECK_EQUAL(stats.live_rows, 0);
    peppy_writer_free(writer);
    free(payload);
}

int main(int count, char **arguments)
{
    uint64_t kills = count > 1 ? strtoull(arguments[1], NULL, 10) : 200;
    uint64_t state = count > 2 ? strtoull(arguments[2], NULL, 10) : clock_ns(CLOCK_REALTIME);
    fprintf(stderr, "torture: %lu kills each, seed %lu\n", (unsigned long)kills, (unsigned long)state);
    uint32_t descriptors = open_descriptors(), mappings = stream_mappings();
    for (uint64_t kill = 0; kill < kills; kill++) {
        kill_publisher(&state);
        CHECK_EQUAL(open_descriptors(), descriptors);
        CHECK_EQUAL(stream_mappings(), mappings);
    }
    for (uint64_t left = kills; left > 0;) {
        uint64_t lives = left < 20 ? left : 20;
        kill_subscribers(lives, &state);
        left -= lives;
        CHECK_EQUAL(open_descriptors(), descriptors);
        CHECK_EQUAL(stream_mappings(), mappings);
    }
    fprintf(stderr, "torture: 0 torn, 0 hung, nothing left behind\n");
    return 0;
}
