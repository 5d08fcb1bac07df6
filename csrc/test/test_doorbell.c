/* Sleeping and waking: nobody sleeps through a message, nobody rings for nothing, no bell can stop the writer. */
#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "claims.h"
#include "processes.h"

#define SECOND 1000000000ll

static bool rang(int bell)
{
    uint64_t count;
    return read(bell, &count, sizeof count) == sizeof count;
}

static void only_an_eventfd_is_accepted_and_it_never_blocks(void)
{
    struct peppy_writer *writer = stream_create(64, 4, 4, 2, 1);
    struct peppy_claim claim;
    int ends[2], blocking = eventfd(0, EFD_CLOEXEC), zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
    CHECK_EQUAL(pipe(ends), 0);
    CHECK_EQUAL(peppy_row_reserve(writer, ends[1], 0, &claim), -ENOTTY);
    CHECK_EQUAL(peppy_row_reserve(writer, zero, 0, &claim), -ENOTTY);
    CHECK_EQUAL(peppy_row_reserve(writer, 1000, 0, &claim), -EBADF);
    CHECK_EQUAL(peppy_row_reserve(writer, blocking, 0, &claim), 0);
    CHECK(fcntl(blocking, F_GETFL) & O_NONBLOCK);
    check_writer(writer);
    close_ends(ends);
    close(blocking);
    close(zero);
    peppy_writer_free(writer);
}

static void the_bell_rings_once_for_a_sleeper_and_never_for_one_awake(void)
{
    int bell = new_doorbell();
    struct peppy_writer *writer = stream_create(64, 4, 2, 2, 1);
    struct peppy_claim claim = stream_reserve(writer, bell, PEPPY_HISTORY_NONE);
    struct peppy_reader *reader = stream_claim(writer, &claim, 0);
    struct peppy_stream_stats stats;
    publish_number(writer, 1);
    CHECK(!rang(bell));
    CHECK_EQUAL(peppy_arm(reader), PEPPY_OK); /* something is there already */
    publish_number(writer, 2);
    CHECK(rang(bell)); /* the stale bit costs one ring */
    publish_number(writer, 3);
    CHECK(!rang(bell));
    CHECK_EQUAL(peppy_writer_stats(writer, &stats), 0);
    CHECK_EQUAL(stats.doorbells, 1);
    CHECK_EQUAL(peppy_doorbell_forget(writer, bell), 0);
    CHECK_EQUAL(peppy_arm(reader), PEPPY_OK);
    publish_number(writer, 4);
    CHECK(!rang(bell));
    close(bell);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void a_full_bell_stops_nobody(void)
{
    int bell = new_doorbell();
    uint64_t full = ~0ull - 1;
    struct peppy_writer *writer = stream_create(64, 4, 2, 2, 1);
    struct peppy_claim claim = stream_reserve(writer, bell, PEPPY_HISTORY_NONE);
    struct peppy_reader *reader = stream_claim(writer, &claim, 0);
    CHECK_EQUAL(write(bell, &full, sizeof full), sizeof full);
    CHECK_EQUAL(peppy_arm(reader), PEPPY_EMPTY);
    CHECK_EQUAL(publish_number(writer, 1), PEPPY_OK);
    CHECK_EQUAL(peppy_wait(reader, bell, 10 * SECOND, 0), PEPPY_OK);
    close(bell);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void waiting_ends_at_its_time(void)
{
    int bell = new_doorbell();
    struct peppy_writer *writer = stream_create(64, 4, 2, 2, 1);
    struct peppy_claim claim = stream_reserve(writer, bell, PEPPY_HISTORY_NONE);
    struct peppy_reader *reader = stream_claim(writer, &claim, 0);
    const int64_t spins[] = {0, 1000000, SECOND};
    for (int i = 0; i < 3; i++) {
        uint64_t start = clock_ns(CLOCK_MONOTONIC);
        CHECK_EQUAL(peppy_wait(reader, bell, 20000000, spins[i]), PEPPY_EMPTY);
        CHECK(clock_ns(CLOCK_MONOTONIC) - start >= 20000000);
    }
    CHECK_EQUAL(peppy_wait(reader, bell, 0, SECOND), PEPPY_EMPTY);
    CHECK_EQUAL(peppy_wait(reader, -1, 0, 0), -EBADF);
    publish_number(writer, 1);
    CHECK_EQUAL(peppy_wait(reader, bell, 0, 0), PEPPY_OK);
    CHECK_EQUAL(peppy_wait(reader, bell, -1, 0), PEPPY_OK);
    close(bell);
    CHECK_EQUAL(peppy_take_copy(reader, &claim, sizeof claim, &(struct peppy_message){0}), PEPPY_OK);
    CHECK_EQUAL(peppy_wait(reader, bell, SECOND, 0), -EBADF); /* a closed bell cannot ring */
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

struct waiter {
    struct peppy_reader *reader;
    int bell, result;
    int64_t spin_ns;
    uint64_t number;
};

static void *wait_long(void *argument)
{
    struct waiter *waiter = argument;
    waiter->result = peppy_wait(waiter->reader, waiter->bell, -1, 0);
    return NULL;
}

static void *receive_long(void *argument)
{
    struct waiter *waiter = argument;
    struct peppy_message message;
    uint64_t number = 0;
    waiter->result = peppy_receive(waiter->reader, waiter->bell, -1, waiter->spin_ns, &number, sizeof number, &message);
    waiter->number = number;
    return NULL;
}

static void receiving_brings_the_message_that_comes_asleep_or_spinning(void)
{
    struct peppy_writer *writer = stream_create(64, 4, 2, 2, 1);
    for (int spinning = 0; spinning < 2; spinning++) {
        struct waiter waiter = {.bell = new_doorbell(), .spin_ns = spinning ? 60 * SECOND : 0};
        struct peppy_claim claim = stream_reserve(writer, waiter.bell, PEPPY_HISTORY_NONE);
        pthread_t thread;
        waiter.reader = stream_claim(writer, &claim, 0);
        CHECK_EQUAL(pthread_create(&thread, NULL, receive_long, &waiter), 0);
        while (!spinning && !load_relaxed(&ctrl_of(&writer->mapping)->armed))
            sched_yield();
        publish_number(writer, 5);
        pthread_join(thread, NULL);
        CHECK_EQUAL(waiter.result, PEPPY_OK);
        CHECK_EQUAL(waiter.number, 5);
        CHECK_EQUAL(peppy_doorbell_forget(writer, waiter.bell), 0);
        peppy_reader_close(waiter.reader);
        close(waiter.bell);
    }
    peppy_writer_free(writer);
}

static void spinning_sees_a_message_and_the_end_and_its_time(void)
{
    struct peppy_writer *writer = stream_create(64, 4, 2, 2, 1);
    struct peppy_claim claim = stream_reserve(writer, -1, PEPPY_HISTORY_NONE);
    struct peppy_reader *reader = stream_claim(writer, &claim, 0);
    struct peppy_message message;
    uint64_t taken;
    CHECK_EQUAL(peppy_spin(reader, 1000), PEPPY_EMPTY);
    for (uint64_t number = 1; number <= 9; number++) /* more than the ring holds: overtaken is something, too */
        publish_number(writer, number);
    CHECK_EQUAL(peppy_spin(reader, 60 * SECOND), PEPPY_OK);
    for (uint64_t number = 6; number <= 9; number++) {
        CHECK_EQUAL(peppy_take_copy(reader, &taken, sizeof taken, &message), PEPPY_OK);
        CHECK_EQUAL(taken, number);
    }
    CHECK_EQUAL(peppy_writer_close(writer, 0), 0);
    CHECK_EQUAL(peppy_spin(reader, 60 * SECOND), PEPPY_CLOSED);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void receiving_ends_at_its_time_and_at_the_end_of_the_stream(void)
{
    int bell = new_doorbell();
    struct peppy_writer *writer = stream_create(64, 4, 2, 2, 1);
    struct peppy_claim claim = stream_reserve(writer, bell, PEPPY_HISTORY_NONE);
    struct peppy_reader *reader = stream_claim(writer, &claim, 0);
    struct peppy_message message;
    uint64_t number;
    CHECK_EQUAL(peppy_receive(reader, bell, 0, 0, &number, sizeof number, &message), PEPPY_EMPTY);
    CHECK_EQUAL(peppy_receive(reader, bell, 1000, 1000, &number, sizeof number, &message), PEPPY_EMPTY);
    publish_number(writer, 9);
    CHECK_EQUAL(peppy_receive(reader, bell, -1, 0, &number, 4, &message), PEPPY_TOO_LONG);
    CHECK_EQUAL(message.length, 8);
    CHECK_EQUAL(peppy_receive(reader, bell, -1, 0, &number, sizeof number, &message), PEPPY_OK);
    CHECK_EQUAL(number, 9);
    CHECK_EQUAL(peppy_writer_close(writer, 0), 0);
    CHECK_EQUAL(peppy_receive(reader, bell, -1, SECOND, &number, sizeof number, &message), PEPPY_CLOSED);
    peppy_reader_close(reader);
    close(bell);
    peppy_writer_free(writer);
}

static void an_awake_reader_is_not_rung_for(void)
{
    struct waiter waiter = {.bell = new_doorbell()};
    struct peppy_writer *writer = stream_create(64, 4, 2, 2, 1);
    struct peppy_claim claim = stream_reserve(writer, waiter.bell, PEPPY_HISTORY_NONE);
    struct peppy_stream_stats stats;
    pthread_t thread;
    waiter.reader = stream_claim(writer, &claim, 0);
    CHECK_EQUAL(pthread_create(&thread, NULL, wait_long, &waiter), 0);
    while (!load_relaxed(&ctrl_of(&writer->mapping)->armed))
        sched_yield();
    publish_number(writer, 1);
    pthread_join(thread, NULL);
    CHECK_EQUAL(waiter.result, PEPPY_OK);
    publish_number(writer, 2);
    CHECK_EQUAL(peppy_writer_stats(writer, &stats), 0);
    CHECK_EQUAL(stats.doorbells, 1);
    close(waiter.bell);
    peppy_reader_close(waiter.reader);
    peppy_writer_free(writer);
}

static void waiting_on_what_is_no_bell_is_an_error(void)
{
    int bell = new_doorbell(), zero = open("/dev/zero", O_RDWR | O_CLOEXEC), ends[2];
    struct peppy_writer *writer = stream_create(64, 4, 2, 2, 1);
    struct peppy_claim claim = stream_reserve(writer, bell, PEPPY_HISTORY_NONE);
    struct peppy_reader *reader = stream_claim(writer, &claim, 0);
    CHECK_EQUAL(pipe(ends), 0);
    CHECK_EQUAL(write(ends[1], "x", 1), 1);
    CHECK_EQUAL(peppy_wait(reader, zero, -1, 0), -ENOTTY); /* readable for ever */
    CHECK_EQUAL(peppy_wait(reader, ends[0], -1, 0), -ENOTTY);
    close_ends(ends);
    close(zero);
    close(bell);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void nothing(int signal)
{
    (void)signal;
}

static void a_signal_ends_the_wait(void)
{
    int bell = new_doorbell();
    struct peppy_writer *writer = stream_create(64, 4, 2, 2, 1);
    struct peppy_claim claim = stream_reserve(writer, bell, PEPPY_HISTORY_NONE);
    struct peppy_reader *reader = stream_claim(writer, &claim, 0);
    struct sigaction action = {.sa_handler = nothing}, old;
    struct itimerval soon = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &action, &old);
    setitimer(ITIMER_REAL, &soon, NULL);
    CHECK_EQUAL(peppy_wait(reader, bell, -1, 0), -EINTR);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &old, NULL);
    close(bell);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void a_reader_closed_under_a_waiting_thread_ends_with_the_wait(void)
{
    uint32_t descriptors = open_descriptors(), mappings = stream_mappings();
    struct waiter waiter = {.bell = new_doorbell()};
    struct peppy_writer *writer = stream_create(64, 4, 1, 2, 1);
    struct peppy_claim claim = stream_reserve(writer, waiter.bell, PEPPY_HISTORY_NONE);
    pthread_t thread;
    uint64_t one = 1;
    waiter.reader = stream_claim(writer, &claim, 0);
    CHECK_EQUAL(pthread_create(&thread, NULL, wait_long, &waiter), 0);
    while (!load_relaxed(&ctrl_of(&writer->mapping)->armed))
        sched_yield();
    peppy_reader_close(waiter.reader);
    CHECK_EQUAL(peppy_row_release(writer, claim.row, claim.ticket), -EBUSY); /* the handle lives as long as the call */
    CHECK_EQUAL(write(waiter.bell, &one, sizeof one), sizeof one);
    pthread_join(thread, NULL);
    CHECK_EQUAL(waiter.result, -ESHUTDOWN);
    CHECK_EQUAL(peppy_row_release(writer, claim.row, claim.ticket), 0);
    close(waiter.bell);
    peppy_writer_free(writer);
    CHECK_EQUAL(open_descriptors(), descriptors);
    CHECK_EQUAL(stream_mappings(), mappings);
}

static void the_close_wakes_a_sleeper(void)
{
    int bell = new_doorbell(), told[2];
    struct peppy_writer *writer = stream_create(64, 4, 2, 2, 1);
    struct peppy_claim claim = stream_reserve(writer, bell, PEPPY_HISTORY_NONE);
    pid_t child = start_child(told);
    if (child == 0) {
        struct peppy_reader *reader = stream_claim(writer, &claim, 0);
        say(told, 'r');
        CHECK_EQUAL(peppy_wait(reader, bell, -1, 0), PEPPY_CLOSED);
        peppy_reader_close(reader);
        _exit(0);
    }
    CHECK_EQUAL(hear(told), 'r');
    while (!load_relaxed(&ctrl_of(&writer->mapping)->armed))
        sched_yield();
    CHECK_EQUAL(peppy_writer_close(writer, 0), 0);
    join_child(child);
    close_ends(told);
    close(bell);
    peppy_writer_free(writer);
}

struct card { /* where to find a child's stream */
    pid_t pid;
    int data, ctrl;
    struct peppy_claim claim;
};

/* Two processes hand one number back and forth. A lost wake-up would leave both asleep, which the
 * Makefile's time limit ends. */
static void no_wake_up_is_lost_between_two_processes(void)
{
    const uint64_t turns = 20000;
    int there = new_doorbell(), back = new_doorbell(), told[2];
    struct peppy_writer *ping = stream_create(64, 4, 1, 2, 1);
    struct peppy_claim ping_claim = stream_reserve(ping, there, PEPPY_HISTORY_NONE);
    struct peppy_config config = stream_config(64, 4, 1, 2, 1);
    int sockets[2];
    struct peppy_message message;
    uint64_t number;
    CHECK_EQUAL(pipe(sockets), 0);
    pid_t child = start_child(told);
    struct peppy_writer *pong;
    struct peppy_reader *reader;
    if (child == 0) { /* fds made before the fork do not help: its stream is passed by /proc */
        struct card card;
        CHECK_EQUAL(peppy_writer_create(&config, &pong), 0);
        card.pid = getpid();
        card.data = pong->data_fd;
        card.ctrl = pong->ctrl_fd;
        card.claim = stream_reserve(pong, back, PEPPY_HISTORY_NONE);
        CHECK_EQUAL(write(sockets[1], &card, sizeof card), sizeof card);
        reader = stream_claim(ping, &ping_claim, 0);
        for (uint64_t turn = 1; turn <= turns; turn++) {
            while (peppy_take_copy(reader, &number, sizeof number, &message) != PEPPY_OK)
                CHECK_EQUAL(peppy_wait(reader, there, -1, 0), PEPPY_OK);
            CHECK_EQUAL(number, turn);
            publish_number(pong, number);
        }
        peppy_reader_close(reader);
        CHECK_EQUAL(hear(told), 'x'); /* its descriptors are wanted until the other side has opened them */
        _exit(0);
    }
    struct card card;
    char path[64];
    CHECK_EQUAL(read(sockets[0], &card, sizeof card), sizeof card);
    snprintf(path, sizeof path, "/proc/%d/fd/%d", card.pid, card.data);
    int data_fd = open(path, O_RDWR | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%d/fd/%d", card.pid, card.ctrl);
    int ctrl_fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK_EQUAL(peppy_reader_open(data_fd, ctrl_fd, &card.claim, 0, &reader), 0);
    close(data_fd);
    close(ctrl_fd);
    for (uint64_t turn = 1; turn <= turns; turn++) {
        publish_number(ping, turn);
        while (peppy_take_copy(reader, &number, sizeof number, &message) != PEPPY_OK)
            CHECK_EQUAL(peppy_wait(reader, back, -1, turn % 2 ? 0 : 2000), PEPPY_OK);
        CHECK_EQUAL(number, turn);
    }
    say(told, 'x');
    join_child(child);
    peppy_reader_close(reader);
    peppy_writer_free(ping);
    close_ends(told);
    close_ends(sockets);
    close(there);
    close(back);
}

RUN_CLAIMS(CLAIM(only_an_eventfd_is_accepted_and_it_never_blocks),
           CLAIM(the_bell_rings_once_for_a_sleeper_and_never_for_one_awake), CLAIM(a_full_bell_stops_nobody),
           CLAIM(receiving_brings_the_message_that_comes_asleep_or_spinning),
           CLAIM(spinning_sees_a_message_and_the_end_and_its_time),
           CLAIM(receiving_ends_at_its_time_and_at_the_end_of_the_stream),
           CLAIM(waiting_ends_at_its_time), CLAIM(an_awake_reader_is_not_rung_for),
           CLAIM(waiting_on_what_is_no_bell_is_an_error), CLAIM(a_signal_ends_the_wait), CLAIM(the_close_wakes_a_sleeper),
           CLAIM(a_reader_closed_under_a_waiting_thread_ends_with_the_wait),
           CLAIM(no_wake_up_is_lost_between_two_processes))
