/* Leases and rows: who lives is what the kernel says, and a row goes back only when its owner is gone. */
#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "claims.h"
#include "processes.h"

static void a_claim_serves_once(void)
{
    struct peppy_writer *writer = stream_create(64, 4, 4, 2, 1);
    struct peppy_claim claim = stream_reserve(writer, -1, PEPPY_HISTORY_NONE);
    struct peppy_reader *reader = stream_claim(writer, &claim, 0), *second;
    CHECK_EQUAL(peppy_reader_open(writer->data_fd, writer->ctrl_fd, &claim, 0, &second), -ESTALE);
    check_reader(reader);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void a_stale_claim_is_refused(void)
{
    struct peppy_writer *writer = stream_create(64, 4, 4, 2, 1);
    struct peppy_claim good = stream_reserve(writer, -1, PEPPY_HISTORY_NONE), claim;
    struct peppy_reader *reader;
#define REFUSED(wanted, change)                                                                              \
    do {                                                                                                     \
        claim = good;                                                                                        \
        change;                                                                                              \
        CHECK_EQUAL(peppy_reader_open(writer->data_fd, writer->ctrl_fd, &claim, 0, &reader), (wanted));      \
    } while (0)
    REFUSED(-ESTALE, claim.ticket++);
    REFUSED(-ESTALE, claim.ticket = 0);
    REFUSED(-ESTALE, claim.epoch_hi++);
    REFUSED(-ESTALE, claim.epoch_lo++);
    REFUSED(-ESTALE, claim.generation++);
    REFUSED(-ECHRNG, claim.row = 4);
    CHECK_EQUAL(peppy_reader_open(writer->data_fd, writer->ctrl_fd, &good, 2, &reader), -EINVAL);
    CHECK_EQUAL(peppy_row_release(writer, good.row, good.ticket), 0);
    REFUSED(-ESTALE, (void)0);
    peppy_writer_free(writer);
}

static void a_living_owner_keeps_its_row(void)
{
    struct peppy_writer *writer = stream_create(64, 4, 1, 2, 1);
    struct peppy_claim claim = stream_reserve(writer, -1, PEPPY_HISTORY_NONE), another;
    struct peppy_reader *reader = stream_claim(writer, &claim, 0);
    CHECK_EQUAL(peppy_row_release(writer, claim.row, claim.ticket), -EBUSY);
    CHECK_EQUAL(peppy_row_release(writer, claim.row, claim.ticket + 1), -ENOENT);
    CHECK_EQUAL(peppy_row_release(writer, 1, claim.ticket), -ENOENT);
    CHECK_EQUAL(peppy_row_release(writer, ~0u, claim.ticket), -ENOENT);
    CHECK_EQUAL(peppy_row_reserve(writer, -1, PEPPY_HISTORY_NONE, &another), -EUSERS);
    peppy_reader_close(reader);
    CHECK_EQUAL(peppy_row_reserve(writer, -1, PEPPY_HISTORY_NONE, &another), 0); /* the left row is taken back */
    CHECK(another.ticket != claim.ticket);
    check_writer(writer);
    peppy_writer_free(writer);
}

static void a_row_still_awaited_is_not_taken_back_by_itself(void)
{
    struct peppy_writer *writer = stream_create(64, 4, 1, 2, 1);
    struct peppy_claim claim = stream_reserve(writer, -1, PEPPY_HISTORY_NONE), another;
    CHECK_EQUAL(peppy_row_reserve(writer, -1, PEPPY_HISTORY_NONE, &another), -EUSERS);
    struct peppy_reader *reader = stream_claim(writer, &claim, 0);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void a_killed_owner_gives_its_row_and_its_chunks_back(void)
{
    struct peppy_writer *writer = stream_create(64, 4, 1, 3, 1);
    publish_number(writer, 1);
    publish_number(writer, 2);
    struct peppy_claim claim = stream_reserve(writer, -1, PEPPY_HISTORY_ALL), another;
    int told[2];
    pid_t child = start_child(told);
    if (child == 0) {
        struct peppy_message message;
        struct peppy_reader *reader = stream_claim(writer, &claim, 0);
        CHECK_EQUAL(peppy_take(reader, &message), PEPPY_OK);
        CHECK_EQUAL(peppy_take(reader, &message), PEPPY_OK);
        say(told, 'h');
        pause();
    }
    CHECK_EQUAL(hear(told), 'h');
    struct peppy_stream_stats stats;
    for (uint64_t i = 3; i < 100; i++) {
        CHECK_EQUAL(publish_number(writer, i), 0);
        check_writer(writer);
    }
    CHECK_EQUAL(peppy_writer_stats(writer, &stats), 0);
    CHECK_EQUAL(stats.pins, 2);
    CHECK_EQUAL(stats.live_rows, 1);
    kill_child(child);
    CHECK_EQUAL(peppy_row_reserve(writer, -1, PEPPY_HISTORY_NONE, &another), 0);
    CHECK_EQUAL(peppy_writer_stats(writer, &stats), 0);
    CHECK_EQUAL(stats.pins, 0);
    CHECK_EQUAL(stats.reclaimed_rows, 1);
    for (uint64_t i = 0; i < 100; i++)
        CHECK_EQUAL(publish_number(writer, i), 0);
    check_writer(writer);
    close_ends(told);
    peppy_writer_free(writer);
}

static void a_stopped_reader_is_not_dead_and_learns_what_it_lost(void)
{
    struct peppy_writer *writer = stream_create(64, 4, 1, 3, 1);
    struct peppy_claim claim = stream_reserve(writer, -1, PEPPY_HISTORY_ALL), another;
    int told[2], status;
    publish_number(writer, 1);
    pid_t child = start_child(told);
    if (child == 0) {
        struct peppy_message view, next;
        struct peppy_reader *reader = stream_claim(writer, &claim, PEPPY_LAPPED_OLDEST);
        CHECK_EQUAL(peppy_take(reader, &view), PEPPY_OK);
        raise(SIGSTOP);
        CHECK_EQUAL(number_of(&view), 1);
        CHECK_EQUAL(peppy_take(reader, &next), PEPPY_OK);
        CHECK_EQUAL(number_of(&next), 998);
        CHECK_EQUAL(reader->lost, 996);
        _exit(0);
    }
    CHECK_EQUAL(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status));
    for (uint64_t number = 2; number <= 1001; number++)
        CHECK_EQUAL(publish_number(writer, number), PEPPY_OK);
    CHECK_EQUAL(peppy_row_release(writer, claim.row, claim.ticket), -EBUSY);
    CHECK_EQUAL(peppy_row_reserve(writer, -1, PEPPY_HISTORY_NONE, &another), -EUSERS);
    kill(child, SIGCONT);
    join_child(child);
    CHECK_EQUAL(peppy_row_release(writer, claim.row, claim.ticket), 0);
    close_ends(told);
    peppy_writer_free(writer);
}

static void the_writers_death_shows_and_its_messages_stay(void)
{
    int told[2];
    struct peppy_writer *writer = stream_create(64, 4, 2, 2, 1);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    CHECK_EQUAL(peppy_writer_alive(reader), 1);
    pid_t child = start_child(told);
    if (child == 0) { /* a second writer over the same CTRL file: byte 0 is taken */
        struct lease lease;
        CHECK_EQUAL(lease_open(&lease, writer->ctrl_fd), 0);
        CHECK_EQUAL(lease_lock(&lease, WRITER_BYTE), -EAGAIN);
        say(told, 'o');
        struct flock byte = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = WRITER_BYTE, .l_len = 1};
        CHECK_EQUAL(fcntl(lease.fd, F_OFD_SETLKW, &byte), 0); /* until the parent's is dropped */
        say(told, 'w');
        pause();
    }
    CHECK_EQUAL(hear(told), 'o');
    publish_number(writer, 42);
    struct peppy_message message;
    peppy_writer_free(writer);
    CHECK_EQUAL(hear(told), 'w');
    CHECK_EQUAL(peppy_writer_alive(reader), 1); /* the child now */
    kill(child, SIGSTOP);
    CHECK_EQUAL(peppy_writer_alive(reader), 1); /* stopped is not dead */
    kill_child(child);
    CHECK_EQUAL(peppy_writer_alive(reader), 0);
    CHECK_EQUAL(peppy_take(reader, &message), PEPPY_OK);
    CHECK_EQUAL(number_of(&message), 42);
    CHECK_EQUAL(peppy_unpin(reader, message.pin, message.data), 0);
    CHECK_EQUAL(peppy_take(reader, &message), PEPPY_CLOSED);
    close_ends(told);
    peppy_reader_close(reader);
}

static void a_full_descriptor_table_refuses_and_leaves_nothing_behind(void)
{
    struct peppy_writer *writer = stream_create(64, 4, 1, 2, 1), *second;
    struct peppy_claim claim = stream_reserve(writer, -1, PEPPY_HISTORY_NONE);
    struct peppy_config config = stream_config(64, 4, 1, 2, 1);
    struct peppy_reader *reader;
    struct rlimit usual, none;
    uint32_t descriptors = open_descriptors(), mappings = stream_mappings();
    int free_ones[3]; /* the lowest numbers there are: the limit is one of numbers, not of descriptors */
    for (int i = 0; i < 3; i++)
        free_ones[i] = dup(writer->data_fd);
    for (int i = 0; i < 3; i++)
        close(free_ones[i]);
    CHECK_EQUAL(getrlimit(RLIMIT_NOFILE, &usual), 0);
    for (int spare = 0; spare < 3; spare++) { /* a writer needs three, a reader one */
        none = (struct rlimit){.rlim_cur = (rlim_t)free_ones[spare], .rlim_max = usual.rlim_max};
        CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &none), 0);
        int created = peppy_writer_create(&config, &second);
        int opened = spare ? -EMFILE : peppy_reader_open(writer->data_fd, writer->ctrl_fd, &claim, 0, &reader);
        CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &usual), 0);
        CHECK_EQUAL(created, -EMFILE);
        CHECK_EQUAL(opened, -EMFILE);
        CHECK_EQUAL(open_descriptors(), descriptors);
        CHECK_EQUAL(stream_mappings(), mappings);
    }
    reader = stream_claim(writer, &claim, 0); /* the claim is still good */
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void a_clean_release_ends_the_lease_although_a_child_holds_a_copy(void)
{
    struct peppy_writer *writer = stream_create(64, 4, 1, 2, 1);
    struct peppy_claim claim = stream_reserve(writer, -1, PEPPY_HISTORY_NONE);
    struct peppy_reader *reader = stream_claim(writer, &claim, 0);
    int lease_copy = dup(reader->lease.fd); /* what a child between fork and exec would have */
    peppy_reader_close(reader);
    CHECK_EQUAL(peppy_row_release(writer, claim.row, claim.ticket), 0);
    close(lease_copy);
    peppy_writer_free(writer);
}

static void a_released_rows_doorbell_rings_no_more(void)
{
    int bell = new_doorbell();
    struct peppy_writer *writer = stream_create(64, 4, 1, 2, 1);
    struct peppy_claim claim = stream_reserve(writer, bell, PEPPY_HISTORY_NONE);
    struct peppy_reader *reader = stream_claim(writer, &claim, 0);
    CHECK_EQUAL(peppy_arm(reader), PEPPY_EMPTY);
    peppy_reader_close(reader);
    CHECK_EQUAL(peppy_row_release(writer, claim.row, claim.ticket), 0);
    publish_number(writer, 1);
    struct pollfd readable = {.fd = bell, .events = POLLIN};
    CHECK_EQUAL(poll(&readable, 1, 0), 0);
    close(bell);
    peppy_writer_free(writer);
}

RUN_CLAIMS(CLAIM(a_claim_serves_once), CLAIM(a_stale_claim_is_refused), CLAIM(a_living_owner_keeps_its_row),
           CLAIM(a_row_still_awaited_is_not_taken_back_by_itself),
           CLAIM(a_killed_owner_gives_its_row_and_its_chunks_back),
           CLAIM(a_stopped_reader_is_not_dead_and_learns_what_it_lost),
           CLAIM(the_writers_death_shows_and_its_messages_stay),
           CLAIM(a_full_descriptor_table_refuses_and_leaves_nothing_behind),
           CLAIM(a_clean_release_ends_the_lease_although_a_child_holds_a_copy),
           CLAIM(a_released_rows_doorbell_rings_no_more))
