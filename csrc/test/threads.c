/*
 * One writer, several readers, all in one process, each message proved byte by byte: the harness for the sanitizers.
 *
 * ThreadSanitizer tells accesses apart by address, and a reader has its own mapping of the same memory. So here readers
 * are moved onto the writer's mapping after they have attached; otherwise no race could ever be seen. Compiled with
 * PEPPY_MUTANT_NO_PIN the core leaves out T6, and ThreadSanitizer must complain (the Makefile sees to that).
 *
 * On a reliable stream the writer waits for every reader, and none of them may lose a message.
 *
 * Usage: threads [seconds] [reliable]
 */
#include "streams.h"

#include <errno.h>
#include <string.h>

#include "claims.h"
#include "processes.h"

#define READERS 4
#define SHARED 3  /* two threads take copies from this reader */
#define SECOND 4  /* the other one of them */
#define GUEST 5   /* comes and goes */
#define CAPACITY 700u
#define DEPTH 5u
#define PINS 4u

static _Atomic int stop;

struct seat {
    struct peppy_writer *writer;
    struct peppy_reader *reader;
    pthread_t thread;
    int bell, number;
    uint64_t received;
};

static void move_onto_writers_mapping(struct peppy_reader *reader, struct peppy_writer *writer)
{
    segment_unmap(&reader->mapping);
    reader->mapping = writer->mapping;
    reader->row = row_of(&reader->mapping, reader->row_number);
}

/* The mapping is the writer's: of no bytes nothing is unmapped. */
static void close_without_unmapping(struct peppy_reader *reader)
{
    reader->mapping.data_size = reader->mapping.ctrl_size = 0;
    peppy_reader_close(reader);
}

static void prove(const struct peppy_message *message)
{
    bool holds = proof_holds(message->data, message->length, EPOCH_LO, message->sequence);
#ifdef PEPPY_MUTANT_NO_PIN /* without pins it often does not; what counts there is the sanitizer's report */
    holds = true;
#endif
    CHECK(holds);
    CHECK_EQUAL(message->length, proof_length(message->sequence, CAPACITY));
}

/* Views held across later takes, and proved again when they are given back. */
static void read_by_views(struct seat *seat)
{
    struct peppy_message held[PINS - 1] = {{0}}, message;
    uint32_t next = 0;
    uint64_t last = 0;
    while (!load_relaxed(&stop)) {
        if (held[next].data) {
            prove(&held[next]);
            CHECK_EQUAL(peppy_unpin(seat->reader, held[next].pin, held[next].data), 0);
            held[next].data = NULL;
        }
        int result = peppy_take(seat->reader, &message);
        CHECK(result == PEPPY_OK || result == PEPPY_EMPTY || result == PEPPY_AGAIN);
        if (result == PEPPY_EMPTY)
            peppy_wait(seat->reader, seat->bell, 1000000, 0);
        if (result != PEPPY_OK)
            continue;
        CHECK(message.sequence > last);
        last = message.sequence;
        prove(&message);
        held[next] = message;
        next = (next + 1) % (PINS - 1);
        seat->received++;
    }
    for (uint32_t i = 0; i < PINS - 1; i++) {
        if (held[i].data)
            CHECK_EQUAL(peppy_unpin(seat->reader, held[i].pin, held[i].data), 0);
    }
}

static void read_by_copies(struct seat *seat)
{
    static _Thread_local uint8_t buffer[8 * 1024];
    struct peppy_message messages[8];
    uint32_t count;
    uint64_t last = 0;
    while (!load_relaxed(&stop)) {
        sched_yield();
        int result = peppy_take_many(seat->reader, buffer, sizeof buffer, messages, 8, &count);
        CHECK(result == PEPPY_OK || result == PEPPY_EMPTY || result == PEPPY_AGAIN);
        if (result == PEPPY_EMPTY && seat->bell >= 0) /* a row has one waiting context: the second thread only asks */
            peppy_wait(seat->reader, seat->bell, 1000000, 20000);
        for (uint32_t i = 0; i < count; i++) {
            CHECK(messages[i].sequence > last);
            last = messages[i].sequence;
            prove(&messages[i]);
        }
        seat->received += count;
    }
}

static void *read_all(void *argument)
{
    struct seat *seat = argument;
    if (seat->number % 2 == 0)
        read_by_views(seat);
    else
        read_by_copies(seat);
    return NULL;
}

/* One seat changes hands all the time: claim, take, close, with the row recycled in between. */
static void *come_and_go(void *argument)
{
    struct seat *seat = argument;
    struct peppy_message message;
    while (!load_relaxed(&stop)) {
        struct peppy_claim claim;
        if (peppy_row_reserve(seat->writer, -1, PEPPY_HISTORY_ALL, &claim))
            continue;
        seat->reader = stream_claim(seat->writer, &claim, PEPPY_LAPPED_NEWEST);
        move_onto_writers_mapping(seat->reader, seat->writer);
        for (int i = 0; i < 20; i++) {
            if (peppy_take(seat->reader, &message) != PEPPY_OK)
                continue;
            prove(&message);
            seat->received++;
            CHECK_EQUAL(peppy_unpin(seat->reader, message.pin, message.data), 0);
        }
        close_without_unmapping(seat->reader);
    }
    return NULL;
}

static void publish_all(struct peppy_writer *writer, uint64_t end)
{
    uint8_t payload[CAPACITY];
    for (uint64_t seq = 1; clock_ns(CLOCK_MONOTONIC) < end; seq++) {
        uint64_t length = proof_length(seq, CAPACITY), sequence;
        if (seq % 4 == 0) { /* a loan, filled in place */
            struct peppy_loan loan;
            WHEN_THERE_IS_ROOM(writer, peppy_loan_take(writer, length, &loan));
            proof_fill(loan.data, length, EPOCH_LO, seq);
            WHEN_THERE_IS_ROOM(writer, peppy_loan_publish(writer, loan.chunk, length, &sequence));
        } else {
            proof_fill(payload, length, EPOCH_LO, seq);
            WHEN_THERE_IS_ROOM(writer, peppy_publish(writer, payload, length, &sequence));
        }
        CHECK_EQUAL(sequence, seq);
        if (seq % 1000 == 0) /* let sleepers sleep and the slow catch up */
            usleep(100);
    }
}

int main(int count, char **arguments)
{
    double seconds = count > 1 ? atof(arguments[1]) : 2;
    bool reliable = count > 2 && strcmp(arguments[2], "reliable") == 0;
    struct peppy_writer *writer = reliable ? stream_create_reliable(CAPACITY, DEPTH, READERS + 1, PINS)
                                           : stream_create(CAPACITY, DEPTH, READERS + 1, PINS, 2);
    struct seat seats[READERS + 2];
    for (int i = 0; i < READERS; i++) {
        seats[i] = (struct seat){.writer = writer, .bell = new_doorbell(), .number = i};
        struct peppy_claim claim = stream_reserve(writer, seats[i].bell, PEPPY_HISTORY_NONE);
        seats[i].reader = stream_claim(writer, &claim, i < 2 ? PEPPY_LAPPED_OLDEST : PEPPY_LAPPED_NEWEST);
        move_onto_writers_mapping(seats[i].reader, writer);
        CHECK_EQUAL(pthread_create(&seats[i].thread, NULL, read_all, &seats[i]), 0);
    }
    seats[GUEST] = (struct seat){.writer = writer};
    CHECK_EQUAL(pthread_create(&seats[GUEST].thread, NULL, come_and_go, &seats[GUEST]), 0);
    seats[SECOND] = (struct seat){.reader = seats[SHARED].reader, .bell = -1, .number = SHARED};
    CHECK_EQUAL(pthread_create(&seats[SECOND].thread, NULL, read_all, &seats[SECOND]), 0);
    publish_all(writer, clock_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * 1e9));
    store_relaxed(&stop, 1);
    for (int i = 0; i < READERS + 2; i++)
        pthread_join(seats[i].thread, NULL);
    check_writer(writer);
    fprintf(stderr, "threads: published %lu", (unsigned long)(writer->next_seq - 1));
    for (int i = 0; i < READERS + 2; i++) {
        fprintf(stderr, ", %lu", (unsigned long)seats[i].received);
        CHECK(seats[i].received > 0);
    }
    seats[SHARED].received += seats[SECOND].received;
    for (int i = 0; i < READERS; i++) {
#ifndef PEPPY_MUTANT_NO_PIN
        check_reader(seats[i].reader);
        CHECK_EQUAL(seats[i].reader->corrupt, 0);
#endif
        CHECK_EQUAL(seats[i].reader->taken, seats[i].received);
        CHECK_EQUAL(seats[i].reader->taken + seats[i].reader->lost, seats[i].reader->cursor - 1);
        CHECK(!reliable || seats[i].reader->lost == 0);
        close_without_unmapping(seats[i].reader);
        close(seats[i].bell);
    }
    fprintf(stderr, " received; no_chunk %lu\n", (unsigned long)writer->no_chunk);
    CHECK_EQUAL(writer->no_chunk, 0);
    peppy_writer_free(writer);
    return 0;
}
