/*
 * SIGKILL at each numbered step. A publisher that dies anywhere leaves whole messages, and every one that it published;
 * a subscriber that dies anywhere leaves a row and chunks that come back. Nobody waits for the dead.
 */
#include "passing.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "claims.h"
#include "processes.h"

#define CAPACITY 9000u
#define SECOND 1000000000ull

/* --- the point at which this process dies ------------------------------------------------------------------------- */

static const char *fatal_point;
static int hits_left;

void killpoint(const char *name)
{
    if (fatal_point && strcmp(name, fatal_point) == 0 && --hits_left == 0)
        raise(SIGKILL);
}

static void die_at(const char *name, int hit)
{
    hits_left = hit;
    fatal_point = name;
}

static void expect_killed(pid_t child, const char *point)
{
    int status;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fprintf(stderr, "killpoints: %s was not reached\n", point);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void prove(const struct peppy_message *message)
{
    CHECK_EQUAL(message->length, proof_length(message->sequence, CAPACITY));
    CHECK(proof_holds(message->data, message->length, EPOCH_LO, message->sequence));
}

static int publish_proof(struct peppy_writer *writer)
{
    static uint8_t payload[CAPACITY];
    uint64_t seq = writer->next_seq, length = proof_length(seq, CAPACITY);
    proof_fill(payload, length, EPOCH_LO, seq);
    return peppy_publish(writer, payload, length, NULL);
}

static int publish_proof_loan(struct peppy_writer *writer)
{
    struct peppy_loan loan;
    uint64_t seq = writer->next_seq, length = proof_length(seq, CAPACITY);
    CHECK_EQUAL(peppy_loan_take(writer, length, &loan), PEPPY_OK);
    proof_fill(loan.data, length, EPOCH_LO, seq);
    return peppy_loan_publish(writer, loan.chunk, length, NULL);
}

/* --- the publisher dies ------------------------------------------------------------------------------------------- */

/* What is to be seen afterwards: the number of messages when death comes at the `hit`-th pass of the point. */
struct writer_case {
    const char *point;
    int hit;
    uint64_t messages;
    bool closed;
};

#define AT_PUBLISH(point, whole) \
    {point, 1, (whole), false}, {point, 6, 5 + (whole), false}, {point, 40, 39 + (whole), false}
#define TOTAL 50

static const struct writer_case writer_cases[] = {
    AT_PUBLISH("P0", 0), AT_PUBLISH("P1", 0), AT_PUBLISH("P2", 0), AT_PUBLISH("P3", 0), AT_PUBLISH("P4", 0),
    AT_PUBLISH("P5", 1), AT_PUBLISH("P6", 1), AT_PUBLISH("P7", 1), AT_PUBLISH("P8", 1),
    {"L1", 1, TOTAL, false}, {"L1", 2, TOTAL + 1, false},
    {"B1", 1, TOTAL, false}, {"B2", 1, TOTAL, false},
    {"C0", 1, TOTAL + 2, false}, {"C1", 1, TOTAL + 2, false}, {"C2", 1, TOTAL + 2, true}, {"C3", 1, TOTAL + 2, true},
};

/* Publishes TOTAL messages, gives a left row back, publishes two loans, closes. Somewhere on this way it dies. */
static void publisher(int socket, int bell, const struct writer_case *how)
{
    char go;
    struct peppy_writer *writer = stream_create(CAPACITY, 4, 2, 3, 2);
    struct peppy_claim claim = stream_reserve(writer, bell, PEPPY_HISTORY_ALL);
    struct peppy_claim left = stream_reserve(writer, -1, PEPPY_HISTORY_ALL);
    send_ticket(socket, writer, &claim);
    CHECK_EQUAL(read(socket, &go, 1), 1);
    die_at(how->point, how->hit);
    for (int i = 0; i < TOTAL; i++)
        CHECK_EQUAL(publish_proof(writer), PEPPY_OK);
    CHECK_EQUAL(peppy_row_release(writer, left.row, left.ticket), 0);
    CHECK_EQUAL(publish_proof_loan(writer), PEPPY_OK);
    CHECK_EQUAL(publish_proof_loan(writer), PEPPY_OK);
    peppy_writer_free(writer);
    _exit(0);
}

/* Take everything there is; the number of the last message, or what it was before. */
static uint64_t drain(struct peppy_reader *reader, uint64_t last, int *result)
{
    struct peppy_message message;
    while ((*result = peppy_take(reader, &message)) == PEPPY_OK || *result == PEPPY_AGAIN) {
        if (*result == PEPPY_AGAIN)
            continue;
        CHECK(message.sequence > last);
        last = message.sequence;
        prove(&message);
        CHECK_EQUAL(peppy_unpin(reader, message.pin, message.data), 0);
    }
    return last;
}

static void kill_publisher(const struct writer_case *how)
{
    int sockets[2], bell = new_doorbell(), result;
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    pid_t child = fork_child();
    if (child == 0)
        publisher(sockets[1], bell, how);
    struct ticket ticket = receive_ticket(sockets[0]);
    struct peppy_reader *reader = open_ticket(&ticket, PEPPY_LAPPED_OLDEST);
    CHECK_EQUAL(write(sockets[0], "g", 1), 1);
    uint64_t last = 0;
    do { /* a reader at work while the other dies; the millisecond stands for the daemon's notice */
        last = drain(reader, last, &result);
        CHECK(peppy_wait(reader, bell, 1000000, 0) >= 0);
    } while (peppy_writer_alive(reader) == 1);
    uint64_t noticed = clock_ns(CLOCK_MONOTONIC);
    last = drain(reader, last, &result);
    CHECK(clock_ns(CLOCK_MONOTONIC) - noticed < SECOND);
    expect_killed(child, how->point);
    CHECK_EQUAL(last, how->messages);
    CHECK_EQUAL(result, how->closed ? PEPPY_CLOSED : PEPPY_EMPTY);
    CHECK_EQUAL(reader->taken + reader->lost, how->messages);
    CHECK_EQUAL(reader->corrupt, 0);
    check_reader(reader);
    peppy_reader_close(reader);
    close_ends(sockets);
    close(bell);
}

/* Fills a reliable stream and waits for a reader that does not take. Dies on the way, or is killed while it waits. */
static void waiting_publisher(int socket, int bell, const char *point)
{
    struct peppy_writer *writer = stream_create_reliable(CAPACITY, 4, 2, 3);
    struct peppy_claim claim = stream_reserve(writer, bell, PEPPY_HISTORY_ALL);
    send_ticket(socket, writer, &claim);
    die_at(point, 1);
    for (;;) {
        int result = publish_proof(writer);
        CHECK(result == PEPPY_OK || result == PEPPY_WOULD_BLOCK);
        if (result == PEPPY_WOULD_BLOCK) {
            CHECK_EQUAL(write(socket, "w", 1), 1);
            wait_for_space(writer, -1);
        }
    }
}

static void kill_waiting_publisher(const char *point)
{
    int sockets[2], bell = new_doorbell(), result;
    char waits;
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    pid_t child = fork_child();
    if (child == 0)
        waiting_publisher(sockets[1], bell, point);
    struct ticket ticket = receive_ticket(sockets[0]);
    struct peppy_reader *reader = open_ticket(&ticket, PEPPY_LAPPED_OLDEST);
    if (point) {
        expect_killed(child, point);
    } else {
        CHECK_EQUAL(read(sockets[0], &waits, 1), 1);
        kill_child(child);
    }
    CHECK_EQUAL(peppy_writer_alive(reader), 0);
    CHECK_EQUAL(drain(reader, 0, &result), 4); /* ringing a writer that is dead */
    CHECK_EQUAL(result, PEPPY_EMPTY);
    CHECK_EQUAL(reader->lost + reader->corrupt, 0);
    peppy_reader_close(reader);
    close_ends(sockets);
    close(bell);
}

/* --- the subscriber dies ------------------------------------------------------------------------------------------ */

struct reader_case {
    const char *point;
    int hit;
    bool rings; /* takes only what the writer waits for */
};

#define ONCE(point) {point, 1, false}
#define AT_TAKE(point) {point, 1, false}, {point, 30, false}

static const struct reader_case reader_cases[] = {
    AT_TAKE("T1"), AT_TAKE("T2"), AT_TAKE("T3"), AT_TAKE("T4"), AT_TAKE("T5"), AT_TAKE("T6"), AT_TAKE("T7"),
    AT_TAKE("T8"), AT_TAKE("U1"), ONCE("K1"), ONCE("K2"), ONCE("K3"), ONCE("K4"), ONCE("A1"), {"A1", 5, false},
    ONCE("R0"), ONCE("R1"), ONCE("R2"), ONCE("R3"),
};

/* Only on a reliable stream: between the cursor and the ring that the writer waits for. */
static const struct reader_case ringing_cases[] = {
    {"S1", 1, true}, {"S1", 30, true}, {"S2", 1, true}, {"S2", 30, true}, {"S3", 1, true}, {"S3", 30, true},
};

/* Claims, takes views (some are kept) and copies, sleeps, closes. Somewhere on this way it dies. */
static void subscriber(struct peppy_writer *writer, const struct peppy_claim *claim, int bell,
                       const struct reader_case *how)
{
    static uint8_t buffer[CAPACITY + 64];
    die_at(how->point, how->hit);
    struct peppy_reader *reader = stream_claim(writer, claim, PEPPY_LAPPED_OLDEST);
    struct peppy_message kept, message;
    while (peppy_take(reader, &kept) != PEPPY_OK)
        continue;
    for (int taken = 0; taken < 60;) {
        bool copy = taken % 2;
        while (how->rings && load_relaxed(&ctrl_of(&reader->mapping)->wants_space) == 0)
            sched_yield();
        int result = copy ? peppy_take_copy(reader, buffer, sizeof buffer, &message) : peppy_take(reader, &message);
        if (result == PEPPY_EMPTY)
            peppy_wait(reader, bell, 10 * (int64_t)SECOND, 0);
        if (result != PEPPY_OK)
            continue;
        prove(&message);
        taken++;
        if (!copy)
            CHECK_EQUAL(peppy_unpin(reader, message.pin, message.data), 0);
        if (taken % 5 == 0)
            CHECK(peppy_arm(reader) >= 0);
    }
    CHECK_EQUAL(peppy_unpin(reader, kept.pin, kept.data), 0);
    peppy_reader_close(reader);
    _exit(0);
}

static bool has_ended(pid_t child)
{
    siginfo_t info = {0};
    CHECK_EQUAL(waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    return info.si_pid == child;
}

/* Every chunk comes back: when nobody pins, one scan leaves nothing retired. */
static void expect_all_chunks_back(struct peppy_writer *writer)
{
    struct peppy_stream_stats stats;
    CHECK_EQUAL(peppy_writer_stats(writer, &stats), 0);
    CHECK_EQUAL(stats.pins, 0);
    CHECK_EQUAL(stats.live_rows, 0);
    CHECK_EQUAL(stats.no_chunk, 0);
    uint64_t scans = writer->scans;
    while (writer->scans == scans)
        CHECK_EQUAL(publish_proof(writer), PEPPY_OK); /* on a reliable stream too: nobody waits for the dead */
    CHECK_EQUAL(writer->retired_count, 1); /* the one that the last publish has just pushed out of the ring */
    check_writer(writer);
}

static void kill_subscriber(struct peppy_writer *writer, const struct reader_case *how)
{
    int bell = new_doorbell(), result;
    struct peppy_claim claim = stream_reserve(writer, bell, PEPPY_HISTORY_NONE);
    pid_t child = fork_child();
    if (child == 0)
        subscriber(writer, &claim, bell, how);
    while (!has_ended(child)) {
        result = publish_proof(writer);
        CHECK(result == PEPPY_OK || (writer->reliable && result == PEPPY_WOULD_BLOCK));
        if (result == PEPPY_WOULD_BLOCK)
            wait_for_space(writer, 10);
        else
            sched_yield();
    }
    expect_killed(child, how->point);
    bool never_came = load_relaxed(&row_of(&writer->mapping, claim.row)->state) == PEPPY_ROW_FREE;
    if (!writer->reliable || !never_came) {
        for (int i = 0; i < 20; i++)
            CHECK_EQUAL(publish_proof(writer), PEPPY_OK);
    }
    int released = peppy_row_release(writer, claim.row, claim.ticket);
    CHECK(released == 0 || released == -ENOENT); /* a scan may have taken it back already */
    CHECK_EQUAL(load_relaxed(&row_of(&writer->mapping, claim.row)->state), PEPPY_ROW_FREE);
    expect_all_chunks_back(writer);
    struct peppy_reader *next = stream_attach(writer, PEPPY_HISTORY_ALL, PEPPY_LAPPED_OLDEST);
    CHECK_EQUAL(drain(next, 0, &result), writer->next_seq - 1);
    CHECK(!writer->reliable || next->lost == 0);
    uint32_t row = next->row_number;
    uint64_t ticket = load_relaxed(&next->row->ticket);
    peppy_reader_close(next);
    CHECK_EQUAL(peppy_row_release(writer, row, ticket), 0);
    close(bell);
}

static void kill_subscribers(struct peppy_writer *writer, const struct reader_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        kill_subscriber(writer, &cases[i]);
    CHECK(writer->used <= writer->geometry.chunks);
    peppy_writer_free(writer);
}

int main(void)
{
    uint32_t descriptors = open_descriptors(), mappings = stream_mappings();
    for (size_t i = 0; i < sizeof writer_cases / sizeof *writer_cases; i++)
        kill_publisher(&writer_cases[i]);
    static const char *waiting[] = {"W1", "W2", NULL};
    for (size_t i = 0; i < sizeof waiting / sizeof *waiting; i++)
        kill_waiting_publisher(waiting[i]);
    struct peppy_writer *writer = stream_create(CAPACITY, 4, 2, 3, 1);
    kill_subscribers(writer, reader_cases, sizeof reader_cases / sizeof *reader_cases);
    writer = stream_create_reliable(CAPACITY, 4, 2, 3);
    kill_subscribers(writer, reader_cases, sizeof reader_cases / sizeof *reader_cases);
    writer = stream_create_reliable(CAPACITY, 4, 2, 3);
    kill_subscribers(writer, ringing_cases, sizeof ringing_cases / sizeof *ringing_cases);
    CHECK_EQUAL(open_descriptors(), descriptors);
    CHECK_EQUAL(stream_mappings(), mappings);
    fprintf(stderr, "killpoints: %zu deaths of publishers, %zu of subscribers\n",
            sizeof writer_cases / sizeof *writer_cases + sizeof waiting / sizeof *waiting,
            2 * sizeof reader_cases / sizeof *reader_cases + sizeof ringing_cases / sizeof *ringing_cases);
    return 0;
}
