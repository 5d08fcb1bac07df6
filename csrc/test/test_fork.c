/* A fork child owns nothing: it can neither publish nor take, and its end releases nothing of its parent's. */
#include "streams.h"

#include <errno.h>
#include <pthread.h>

#include "claims.h"
#include "processes.h"

struct both {
    struct peppy_writer *writer;
    struct peppy_reader *reader;
    struct peppy_claim claim;
    struct peppy_message view;
    int bell;
};

static struct both open_both(void)
{
    struct both both = {.bell = new_doorbell()};
    both.writer = stream_create(64, 4, 2, 3, 1);
    both.claim = stream_reserve(both.writer, both.bell, PEPPY_HISTORY_NONE);
    both.reader = stream_claim(both.writer, &both.claim, 0);
    publish_number(both.writer, 1);
    publish_number(both.writer, 2);
    CHECK_EQUAL(peppy_take(both.reader, &both.view), PEPPY_OK);
    return both;
}

static void close_both(struct both *both)
{
    CHECK_EQUAL(peppy_unpin(both->reader, both->view.pin, both->view.data), 0);
    peppy_reader_close(both->reader);
    peppy_writer_free(both->writer);
    close(both->bell);
}

static void in_child(struct both *both)
{
    struct peppy_message message;
    struct peppy_loan loan;
    struct peppy_claim claim;
    struct peppy_stream_stats stream;
    struct peppy_row_stats row;
    uint64_t number;
    uint32_t count;
    CHECK_EQUAL(publish_number(both->writer, 3), -ECHILD);
    CHECK_EQUAL(peppy_publish_parts(both->writer, NULL, 0, 0, NULL), -ECHILD);
    CHECK_EQUAL(peppy_loan_take(both->writer, 1, &loan), -ECHILD);
    CHECK_EQUAL(peppy_loan_publish(both->writer, 0, 1, NULL), -ECHILD);
    CHECK_EQUAL(peppy_loan_discard(both->writer, 0), -ECHILD);
    CHECK_EQUAL(peppy_row_reserve(both->writer, -1, 0, &claim), -ECHILD);
    CHECK_EQUAL(peppy_row_release(both->writer, both->claim.row, both->claim.ticket), -ECHILD);
    CHECK_EQUAL(peppy_doorbell_forget(both->writer, both->bell), -ECHILD);
    CHECK_EQUAL(peppy_writer_stats(both->writer, &stream), -ECHILD);
    CHECK_EQUAL(peppy_writer_close(both->writer, 0), -ECHILD);
    peppy_writer_free(both->writer);
    CHECK_EQUAL(peppy_take(both->reader, &message), -ECHILD);
    CHECK_EQUAL(peppy_take_copy(both->reader, &number, sizeof number, &message), -ECHILD);
    CHECK_EQUAL(peppy_take_many(both->reader, &number, sizeof number, &message, 1, &count), -ECHILD);
    CHECK_EQUAL(peppy_arm(both->reader), -ECHILD);
    CHECK_EQUAL(peppy_waiting_since(both->reader, &number), -ECHILD);
    CHECK_EQUAL(peppy_wait(both->reader, both->bell, -1, 0), -ECHILD);
    CHECK_EQUAL(peppy_writer_alive(both->reader), -ECHILD);
    CHECK_EQUAL(peppy_reader_stats(both->reader, &row, &number), -ECHILD);
    peppy_copy_forced(both->reader);
    CHECK_EQUAL(number_of(&both->view), 1); /* a view may still be read */
    CHECK_EQUAL(peppy_unpin(both->reader, both->view.pin, both->view.data), -ECHILD);
    peppy_reader_close(both->reader);
}

static void a_child_touches_nothing_of_its_parents(void)
{
    struct both both = open_both();
    int told[2];
    pid_t child = start_child(told);
    if (child == 0) {
        in_child(&both);
        _exit(0);
    }
    join_child(child);
    check_reader(both.reader);
    check_writer(both.writer);
    CHECK_EQUAL(peppy_writer_alive(both.reader), 1);
    CHECK_EQUAL(peppy_row_release(both.writer, both.claim.row, both.claim.ticket), -EBUSY);
    CHECK_EQUAL(load_relaxed(&both.reader->row->state), PEPPY_ROW_LIVE);
    for (uint64_t i = 0; i < 100; i++)
        CHECK_EQUAL(publish_number(both.writer, i), 0);
    CHECK_EQUAL(number_of(&both.view), 1);
    close_ends(told);
    close_both(&both);
}

static void a_living_child_does_not_keep_its_parents_leases(void)
{
    struct both both = open_both();
    int told[2], wanted[2];
    CHECK_EQUAL(pipe(wanted), 0);
    pid_t child = start_child(told);
    if (child == 0) {
        say(told, 'c');
        CHECK_EQUAL(hear(wanted), 'e');
        _exit(0);
    }
    CHECK_EQUAL(hear(told), 'c');
    CHECK_EQUAL(peppy_unpin(both.reader, both.view.pin, both.view.data), 0);
    struct lease outsider;
    CHECK_EQUAL(lease_open(&outsider, both.writer->ctrl_fd), 0);
    CHECK_EQUAL(lease_held_elsewhere(&outsider, ROW_BYTE(both.claim.row)), 1);
    close(both.reader->lease.fd); /* as death would: without unlocking */
    CHECK_EQUAL(lease_held_elsewhere(&outsider, ROW_BYTE(both.claim.row)), 0);
    close(both.writer->lease.fd);
    CHECK_EQUAL(lease_held_elsewhere(&outsider, WRITER_BYTE), 0);
    lease_close(&outsider);
    both.writer->lease.fd = both.reader->lease.fd = -1;
    peppy_reader_close(both.reader);
    peppy_writer_free(both.writer);
    say(wanted, 'e');
    join_child(child);
    close_ends(told);
    close_ends(wanted);
    close(both.bell);
}

static void a_child_can_open_streams_of_its_own(void)
{
    struct both both = open_both();
    int told[2];
    pid_t child = start_child(told);
    if (child == 0) {
        struct both own = open_both();
        CHECK_EQUAL(publish_number(own.writer, 3), 0);
        close_both(&own);
        _exit(0);
    }
    join_child(child);
    close_ends(told);
    close_both(&both);
}

static _Atomic int stop;

static void *publish_on(void *writer)
{
    while (!load_relaxed(&stop))
        publish_number(writer, 1);
    return NULL;
}

/* The child may find the mutex held by a thread it does not have: it must not even try it. */
static void a_fork_in_the_middle_of_a_publish_hangs_nobody(void)
{
    struct both both = open_both();
    pthread_t thread;
    store_relaxed(&stop, 0);
    CHECK_EQUAL(pthread_create(&thread, NULL, publish_on, both.writer), 0);
    for (int i = 0; i < 200; i++) {
        pid_t child = fork_child();
        if (child == 0) {
            CHECK_EQUAL(publish_number(both.writer, 1), -ECHILD);
            _exit(0);
        }
        join_child(child);
    }
    store_relaxed(&stop, 1);
    pthread_join(thread, NULL);
    check_writer(both.writer);
    close_both(&both);
}

RUN_CLAIMS(CLAIM(a_child_touches_nothing_of_its_parents), CLAIM(a_living_child_does_not_keep_its_parents_leases),
           CLAIM(a_child_can_open_streams_of_its_own), CLAIM(a_fork_in_the_middle_of_a_publish_hangs_nobody))
