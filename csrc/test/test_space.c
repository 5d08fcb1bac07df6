/* Reliable streams: who holds the writer, who lets it go, and that nobody sleeps for ever. */
#include "streams.h"

#include <errno.h>
#include <string.h>

#include "claims.h"
#include "processes.h"

#define DEPTH 5u

static void publish_until_full(struct peppy_writer *writer, uint64_t *number)
{
    int result;
    while ((result = publish_number(writer, *number)) == PEPPY_OK) {
        ++*number;
        check_writer(writer);
    }
    CHECK_EQUAL(result, PEPPY_WOULD_BLOCK);
    check_writer(writer);
}

static uint64_t take_number(struct peppy_reader *reader)
{
    struct peppy_message message;
    uint64_t buffer;
    CHECK_EQUAL(peppy_take_copy(reader, &buffer, sizeof buffer, &message), PEPPY_OK);
    check_reader(reader);
    return number_of(&message);
}

static void the_slowest_reader_holds_the_writer(void)
{
    struct peppy_writer *writer = stream_create_reliable(64, DEPTH, 3, 3);
    struct peppy_reader *slow = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    struct peppy_reader *fast = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    uint64_t number = 1;
    publish_until_full(writer, &number);
    CHECK_EQUAL(number, 1 + DEPTH);
    for (uint64_t wanted = 1; wanted <= DEPTH; wanted++)
        CHECK_EQUAL(take_number(fast), wanted);
    CHECK_EQUAL(publish_number(writer, number), PEPPY_WOULD_BLOCK);
    CHECK_EQUAL(take_number(slow), 1);
    publish_until_full(writer, &number);
    CHECK_EQUAL(number, 2 + DEPTH);
    CHECK_EQUAL(take_number(slow), 2);
    CHECK_EQUAL(take_number(slow), 3);
    publish_until_full(writer, &number);
    CHECK_EQUAL(number, 4 + DEPTH);
    CHECK_EQUAL(slow->lost + fast->lost, 0);
    peppy_reader_close(slow);
    peppy_reader_close(fast);
    peppy_writer_free(writer);
}

static void without_readers_the_oldest_goes(void)
{
    struct peppy_writer *writer = stream_create_reliable(64, DEPTH, 2, 3);
    for (uint64_t number = 1; number <= 100; number++)
        CHECK_EQUAL(publish_number(writer, number), PEPPY_OK);
    CHECK_EQUAL(peppy_room(writer), PEPPY_OK);
    struct peppy_slow slow;
    CHECK_EQUAL(peppy_slowest(writer, &slow), PEPPY_EMPTY);
    check_writer(writer);
    peppy_writer_free(writer);
}

static void everything_arrives_through_many_turns_of_the_ring(void)
{
    struct peppy_writer *writer = stream_create_reliable(64, DEPTH, 2, 3);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, PEPPY_LAPPED_NEWEST);
    uint64_t number = 1, wanted = 1;
    while (wanted < 2000) {
        publish_until_full(writer, &number);
        for (uint64_t some = 1 + number * 7 % (DEPTH + 1); some > 0 && wanted < number; some--)
            CHECK_EQUAL(take_number(reader), wanted++);
    }
    CHECK_EQUAL(reader->lost, 0);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void a_row_still_awaited_holds_the_writer(void)
{
    struct peppy_writer *writer = stream_create_reliable(64, DEPTH, 2, 3);
    struct peppy_claim claim = stream_reserve(writer, -1, PEPPY_HISTORY_NONE);
    uint64_t number = 1;
    publish_until_full(writer, &number);
    struct peppy_reader *reader = stream_claim(writer, &claim, 0);
    CHECK_EQUAL(publish_number(writer, number), PEPPY_WOULD_BLOCK);
    CHECK_EQUAL(take_number(reader), 1);
    CHECK(wait_for_space(writer, 0));
    CHECK_EQUAL(publish_number(writer, number), PEPPY_OK);
    peppy_reader_close(reader);
    struct peppy_claim never = stream_reserve(writer, -1, PEPPY_HISTORY_NONE);
    number = writer->next_seq;
    publish_until_full(writer, &number);
    CHECK(!wait_for_space(writer, 0));
    CHECK_EQUAL(peppy_row_release(writer, never.row, never.ticket), 0); /* the daemon says that it will not come */
    CHECK(wait_for_space(writer, 0));
    CHECK_EQUAL(publish_number(writer, number), PEPPY_OK);
    peppy_writer_free(writer);
}

static void a_new_reader_of_old_messages_holds_the_writer_at_once(void)
{
    struct peppy_writer *writer = stream_create_reliable(64, DEPTH, 2, 3);
    for (uint64_t number = 1; number <= 20; number++)
        publish_number(writer, number);
    struct peppy_reader *all = stream_attach(writer, PEPPY_HISTORY_ALL, 0);
    check_writer(writer);
    CHECK_EQUAL(publish_number(writer, 21), PEPPY_WOULD_BLOCK);
    CHECK_EQUAL(take_number(all), 21 - DEPTH);
    CHECK_EQUAL(publish_number(writer, 21), PEPPY_OK);
    struct peppy_reader *last = stream_attach(writer, PEPPY_HISTORY_LAST, 0);
    CHECK_EQUAL(take_number(last), 21);
    peppy_reader_close(all);
    peppy_reader_close(last);
    peppy_writer_free(writer);
}

static void a_reader_that_may_be_overwritten_holds_nobody(void)
{
    struct peppy_writer *writer = stream_create_reliable(64, DEPTH, 2, 3);
    struct peppy_claim claim = stream_reserve(writer, -1, PEPPY_HISTORY_NONE);
    CHECK_EQUAL(peppy_row_overwrite(writer, claim.row, claim.ticket + 1), -ENOENT);
    CHECK_EQUAL(peppy_row_overwrite(writer, claim.row, claim.ticket), 0);
    struct peppy_reader *watcher = stream_claim(writer, &claim, 0);
    for (uint64_t number = 1; number <= 20; number++)
        CHECK_EQUAL(publish_number(writer, number), PEPPY_OK);
    CHECK_EQUAL(take_number(watcher), 21 - DEPTH);
    CHECK_EQUAL(watcher->lost, 20 - DEPTH);
    check_writer(writer);
    peppy_reader_close(watcher);
    CHECK_EQUAL(peppy_row_release(writer, claim.row, claim.ticket), 0);
    struct peppy_claim next = stream_reserve(writer, -1, PEPPY_HISTORY_NONE); /* the row's next reader is waited for */
    CHECK_EQUAL(next.row, claim.row);
    uint64_t number = writer->next_seq;
    publish_until_full(writer, &number);
    peppy_writer_free(writer);
}

static void a_reader_can_be_given_up_while_the_writer_waits(void)
{
    struct peppy_writer *writer = stream_create_reliable(64, DEPTH, 2, 3);
    struct peppy_claim claim = stream_reserve(writer, -1, PEPPY_HISTORY_NONE);
    struct peppy_reader *reader = stream_claim(writer, &claim, 0);
    uint64_t number = 1;
    publish_until_full(writer, &number);
    CHECK_EQUAL(peppy_row_overwrite(writer, claim.row, claim.ticket), 0);
    CHECK(wait_for_space(writer, 0));
    for (; number <= 20; number++)
        CHECK_EQUAL(publish_number(writer, number), PEPPY_OK);
    CHECK_EQUAL(take_number(reader), 21 - DEPTH);
    CHECK_EQUAL(reader->taken + reader->lost, reader->cursor - 1);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void a_held_view_counts_as_read(void)
{
    struct peppy_writer *writer = stream_create_reliable(64, DEPTH, 2, 3);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    struct peppy_message view;
    uint64_t number = 1;
    publish_until_full(writer, &number);
    CHECK_EQUAL(peppy_take(reader, &view), PEPPY_OK);
    CHECK_EQUAL(publish_number(writer, number), PEPPY_OK);
    CHECK_EQUAL(number_of(&view), 1);
    CHECK_EQUAL(peppy_unpin(reader, view.pin, view.data), 0);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void a_closed_reader_lets_go_although_a_view_of_it_lives(void)
{
    struct peppy_writer *writer = stream_create_reliable(64, DEPTH, 2, 3);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    struct peppy_message view;
    uint64_t number = 1;
    publish_until_full(writer, &number);
    CHECK_EQUAL(peppy_take(reader, &view), PEPPY_OK);
    publish_until_full(writer, &number);
    CHECK(wait_for_space(writer, 0)); /* that was for the message taken */
    CHECK_EQUAL(publish_number(writer, number), PEPPY_WOULD_BLOCK);
    peppy_reader_close(reader);
    CHECK(wait_for_space(writer, 0));
    for (; number <= 50; number++)
        CHECK_EQUAL(publish_number(writer, number), PEPPY_OK);
    CHECK_EQUAL(number_of(&view), 1);
    CHECK_EQUAL(peppy_unpin(reader, view.pin, view.data), 0);
    peppy_writer_free(writer);
}

static void readers_ring_only_a_writer_that_wants_space(void)
{
    struct peppy_writer *writer = stream_create_reliable(64, DEPTH, 3, 3);
    struct peppy_reader *first = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    struct peppy_reader *second = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    uint64_t number = 1;
    for (; number <= DEPTH; number++)
        CHECK_EQUAL(publish_number(writer, number), PEPPY_OK);
    CHECK_EQUAL(take_number(first), 1);
    CHECK_EQUAL(take_number(second), 1);
    CHECK(!wait_for_space(writer, 0));
    publish_until_full(writer, &number);
    CHECK_EQUAL(take_number(first), 2); /* it made no room, but cannot know: the writer looks again */
    CHECK(wait_for_space(writer, 0));
    CHECK_EQUAL(take_number(second), 2);
    CHECK(!wait_for_space(writer, 0));
    CHECK_EQUAL(publish_number(writer, number), PEPPY_OK);
    peppy_reader_close(first);
    peppy_reader_close(second);
    peppy_writer_free(writer);
}

static void a_reader_that_cannot_ring_leaves_that_to_others(void)
{
    struct peppy_writer *writer = stream_create_reliable(64, DEPTH, 3, 3);
    struct peppy_claim claim = stream_reserve(writer, -1, PEPPY_HISTORY_NONE);
    struct peppy_reader *mute = NULL, *other = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    CHECK_EQUAL(peppy_reader_open(writer->data_fd, writer->ctrl_fd, &claim, 0, &mute), 0);
    CHECK_EQUAL(peppy_reader_space(mute, writer->data_fd), -ENOTTY);
    CHECK_EQUAL(peppy_reader_space(mute, 1000), -EBADF);
    uint64_t number = 1;
    publish_until_full(writer, &number);
    CHECK_EQUAL(take_number(mute), 1);
    CHECK(!wait_for_space(writer, 0));
    CHECK_EQUAL(take_number(other), 1);
    CHECK(wait_for_space(writer, 0));
    peppy_reader_close(mute);
    peppy_reader_close(other);
    peppy_writer_free(writer);
}

static void the_slowest_is_known_by_row_ticket_and_lag(void)
{
    struct peppy_writer *writer = stream_create_reliable(64, DEPTH, 3, 3);
    struct peppy_claim one = stream_reserve(writer, -1, PEPPY_HISTORY_NONE);
    struct peppy_claim two = stream_reserve(writer, -1, PEPPY_HISTORY_NONE);
    struct peppy_reader *reader = stream_claim(writer, &two, 0);
    struct peppy_slow slow;
    for (uint64_t number = 1; number <= 3; number++)
        CHECK_EQUAL(publish_number(writer, number), PEPPY_OK);
    take_number(reader);
    CHECK_EQUAL(peppy_slowest(writer, &slow), PEPPY_OK);
    CHECK_EQUAL(slow.row, one.row);
    CHECK_EQUAL(slow.ticket, one.ticket);
    CHECK_EQUAL(slow.lag, 3);
    CHECK_EQUAL(peppy_row_release(writer, one.row, one.ticket), 0);
    CHECK_EQUAL(peppy_slowest(writer, &slow), PEPPY_OK);
    CHECK_EQUAL(slow.ticket, two.ticket);
    CHECK_EQUAL(slow.lag, 2);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void loans_wait_as_messages_do(void)
{
    struct peppy_writer *writer = stream_create_reliable(64, DEPTH, 2, 3);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    struct peppy_loan loan, another;
    uint64_t number = 1, mine = 77;
    CHECK_EQUAL(peppy_loan_take(writer, sizeof mine, &loan), PEPPY_OK);
    memcpy(loan.data, &mine, sizeof mine);
    publish_until_full(writer, &number); /* others were faster */
    CHECK_EQUAL(peppy_loan_take(writer, sizeof mine, &another), PEPPY_WOULD_BLOCK);
    CHECK_EQUAL(peppy_loan_publish(writer, loan.chunk, sizeof mine, NULL), PEPPY_WOULD_BLOCK);
    check_writer(writer);
    CHECK_EQUAL(take_number(reader), 1);
    CHECK_EQUAL(peppy_loan_publish(writer, loan.chunk, sizeof mine, NULL), PEPPY_OK);
    for (uint64_t wanted = 2; wanted <= DEPTH; wanted++)
        CHECK_EQUAL(take_number(reader), wanted);
    CHECK_EQUAL(take_number(reader), mine);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

/* A child reads `count` messages, says so, and goes on sleeping. */
static pid_t reading_child(struct peppy_writer *writer, int count, int told[2])
{
    struct peppy_claim claim = stream_reserve(writer, -1, PEPPY_HISTORY_NONE);
    pid_t child = start_child(told);
    if (child > 0)
        return child;
    struct peppy_reader *reader = stream_claim(writer, &claim, 0);
    for (int i = 0; i < count; i++)
        take_number(reader);
    say(told, 'r');
    for (;;)
        pause();
}

static void a_dead_reader_lets_go_and_a_stopped_one_does_not(void)
{
    struct peppy_writer *writer = stream_create_reliable(64, DEPTH, 2, 3);
    int told[2];
    uint64_t number = 1;
    pid_t child = reading_child(writer, 0, told);
    CHECK_EQUAL(hear(told), 'r');
    publish_until_full(writer, &number);
    kill(child, SIGSTOP);
    CHECK_EQUAL(publish_number(writer, number), PEPPY_WOULD_BLOCK);
    CHECK_EQUAL(writer->reclaimed_rows, 0);
    kill_child(child);
    CHECK_EQUAL(publish_number(writer, number), PEPPY_OK); /* its lease says so, no notice is needed */
    CHECK_EQUAL(writer->reclaimed_rows, 1);
    check_writer(writer);
    close_ends(told);
    peppy_writer_free(writer);
}

static void a_wrong_cursor_stops_the_writer_or_costs_its_reader_nothing_else(void)
{
    struct peppy_writer *writer = stream_create_reliable(64, DEPTH, 2, 3);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    struct row *row = row_of(&writer->mapping, reader->row_number);
    const uint64_t wrong[] = {0, 1, 3, 1000, 1ull << 63, UINT64_MAX - 2, UINT64_MAX};
    for (uint64_t number = 1; number <= DEPTH; number++)
        CHECK_EQUAL(publish_number(writer, number), PEPPY_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        store_ordered(&row->cursor, wrong[i]);
        writer->room_end = 0; /* forget the last look */
        struct peppy_slow slow;
        CHECK_EQUAL(peppy_slowest(writer, &slow), PEPPY_OK);
        CHECK(slow.lag <= DEPTH);
        CHECK_EQUAL(peppy_room(writer), wrong[i] <= 1 ? PEPPY_WOULD_BLOCK : PEPPY_OK);
    }
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void the_end_is_said_although_there_is_no_room(void)
{
    struct peppy_writer *writer = stream_create_reliable(64, DEPTH, 2, 3);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    struct peppy_message message;
    uint64_t number = 1;
    publish_until_full(writer, &number);
    CHECK_EQUAL(peppy_writer_close(writer, 0), 0);
    CHECK_EQUAL(publish_number(writer, number), PEPPY_CLOSED);
    CHECK_EQUAL(peppy_room(writer), PEPPY_CLOSED);
    for (uint64_t wanted = 1; wanted <= DEPTH; wanted++)
        CHECK_EQUAL(take_number(reader), wanted);
    CHECK_EQUAL(peppy_take(reader, &message), PEPPY_CLOSED);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

/* Without a limit of time: a wake-up that is lost is a program that hangs. */
static void no_wake_up_is_lost_between_two_processes(void)
{
    enum { MESSAGES = 30000 };
    struct peppy_writer *writer = stream_create_reliable(64, 4, 2, 3);
    int told[2], bell = new_doorbell();
    struct peppy_claim claim = stream_reserve(writer, bell, PEPPY_HISTORY_NONE);
    pid_t child = start_child(told);
    if (child == 0) {
        struct peppy_reader *reader = stream_claim(writer, &claim, 0);
        struct peppy_message message;
        uint64_t buffer;
        for (uint64_t wanted = 1; wanted <= MESSAGES; wanted++) {
            CHECK_EQUAL(peppy_wait(reader, bell, -1, 0), PEPPY_OK);
            CHECK_EQUAL(peppy_take_copy(reader, &buffer, sizeof buffer, &message), PEPPY_OK);
            CHECK_EQUAL(number_of(&message), wanted);
        }
        CHECK_EQUAL(reader->lost, 0);
        peppy_reader_close(reader);
        _exit(0);
    }
    for (uint64_t number = 1; number <= MESSAGES; number++) {
        int result;
        while ((result = publish_number(writer, number)) == PEPPY_WOULD_BLOCK)
            wait_for_space(writer, -1);
        CHECK_EQUAL(result, PEPPY_OK);
    }
    join_child(child);
    check_writer(writer);
    close_ends(told);
    close(bell);
    peppy_writer_free(writer);
}

static void nothing_is_left_behind(void)
{
    uint32_t descriptors = open_descriptors(), mappings = stream_mappings();
    struct peppy_writer *writer = stream_create_reliable(64, DEPTH, 2, 3);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    CHECK_EQUAL(peppy_reader_space(reader, peppy_writer_space_fd(writer)), 0); /* the second takes the first's place */
    peppy_reader_close(reader);
    peppy_writer_free(writer);
    CHECK_EQUAL(open_descriptors(), descriptors);
    CHECK_EQUAL(stream_mappings(), mappings);
}

RUN_CLAIMS(CLAIM(the_slowest_reader_holds_the_writer), CLAIM(without_readers_the_oldest_goes),
           CLAIM(everything_arrives_through_many_turns_of_the_ring), CLAIM(a_row_still_awaited_holds_the_writer),
           CLAIM(a_new_reader_of_old_messages_holds_the_writer_at_once),
           CLAIM(a_reader_that_may_be_overwritten_holds_nobody),
           CLAIM(a_reader_can_be_given_up_while_the_writer_waits), CLAIM(a_held_view_counts_as_read),
           CLAIM(a_closed_reader_lets_go_although_a_view_of_it_lives),
           CLAIM(readers_ring_only_a_writer_that_wants_space), CLAIM(a_reader_that_cannot_ring_leaves_that_to_others),
           CLAIM(the_slowest_is_known_by_row_ticket_and_lag), CLAIM(loans_wait_as_messages_do),
           CLAIM(a_dead_reader_lets_go_and_a_stopped_one_does_not),
           CLAIM(a_wrong_cursor_stops_the_writer_or_costs_its_reader_nothing_else),
           CLAIM(the_end_is_said_although_there_is_no_room), CLAIM(no_wake_up_is_lost_between_two_processes),
           CLAIM(nothing_is_left_behind))
