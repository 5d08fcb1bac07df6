/* Publishing and taking inside one process: order, loss, history, copies, nonsense, the end. */
#include "streams.h"

#include <errno.h>
#include <string.h>

#include "claims.h"

#define UNPIN(reader, message) CHECK_EQUAL(peppy_unpin((reader), (message).pin, (message).data), 0)

static uint64_t take_number(struct peppy_reader *reader)
{
    struct peppy_message message;
    uint64_t buffer;
    CHECK_EQUAL(peppy_take_copy(reader, &buffer, sizeof buffer, &message), PEPPY_OK);
    CHECK(message.data == (uint8_t *)&buffer);
    check_reader(reader);
    return number_of(&message);
}

static struct peppy_row_stats stats_of(struct peppy_reader *reader)
{
    struct peppy_row_stats stats;
    uint64_t head;
    CHECK_EQUAL(peppy_reader_stats(reader, &stats, &head), 0);
    CHECK_EQUAL(stats.cursor, reader->cursor);
    return stats;
}

static void messages_arrive_in_order_through_many_turns_of_the_ring(void)
{
    const uint32_t depths[] = {4, 5, 6, 7, 8, 100, 128};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        struct peppy_writer *writer = stream_create(64, depths[i], 2, 2, 1);
        struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
        for (uint64_t number = 1; number <= 1000; number++) {
            uint64_t sequence;
            CHECK_EQUAL(peppy_publish(writer, &number, sizeof number, &sequence), PEPPY_OK);
            CHECK_EQUAL(sequence, number);
            check_writer(writer);
            if (number % 3 == 0) {
                for (uint64_t back = 3; back > 0; back--)
                    CHECK_EQUAL(take_number(reader), number + 1 - back);
                struct peppy_message message;
                CHECK_EQUAL(peppy_take(reader, &message), PEPPY_EMPTY);
            }
        }
        CHECK_EQUAL(stats_of(reader).lost, 0);
        peppy_reader_close(reader);
        peppy_writer_free(writer);
    }
}

static void a_lapped_reader_goes_on_with_the_oldest_held(void)
{
    struct peppy_writer *writer = stream_create(64, 6, 2, 2, 1);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, PEPPY_LAPPED_OLDEST);
    for (uint64_t number = 1; number <= 1000; number++)
        publish_number(writer, number);
    for (uint64_t number = 995; number <= 1000; number++)
        CHECK_EQUAL(take_number(reader), number);
    struct peppy_row_stats stats = stats_of(reader);
    CHECK_EQUAL(stats.lost, 994);
    CHECK_EQUAL(stats.taken, 6);
    CHECK_EQUAL(stats.skipped, 0);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void a_lapped_reader_that_wants_it_jumps_to_the_newest(void)
{
    struct peppy_writer *writer = stream_create(64, 32, 2, 2, 1);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, PEPPY_LAPPED_NEWEST);
    for (uint64_t number = 1; number <= 1000; number++)
        publish_number(writer, number);
    CHECK_EQUAL(take_number(reader), 1000);
    CHECK_EQUAL(stats_of(reader).lost, 999);
    CHECK_EQUAL(stats_of(reader).skipped, 31); /* of the lost ones, those that were still there */
    for (uint64_t number = 1001; number <= 1032; number++) /* a full ring is not lapped */
        publish_number(writer, number);
    for (uint64_t number = 1001; number <= 1032; number++)
        CHECK_EQUAL(take_number(reader), number);
    CHECK_EQUAL(stats_of(reader).lost, 999);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void publishing_at_once_waits_for_no_other_thread(void)
{
    struct peppy_writer *writer = stream_create(64, 4, 2, 2, 1);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    uint64_t number = 7, sequence = 0;
    pthread_mutex_lock(&writer->mutex); /* as if another thread were publishing */
    CHECK_EQUAL(peppy_publish_at_once(writer, &number, sizeof number, &sequence), -EBUSY);
    pthread_mutex_unlock(&writer->mutex);
    CHECK_EQUAL(peppy_publish_at_once(writer, &number, 65, &sequence), PEPPY_TOO_LONG);
    CHECK_EQUAL(peppy_publish_at_once(writer, &number, sizeof number, &sequence), PEPPY_OK);
    CHECK_EQUAL(sequence, 1);
    CHECK_EQUAL(take_number(reader), 7);
    CHECK_EQUAL(peppy_writer_close(writer, 0), 0);
    CHECK_EQUAL(peppy_publish_at_once(writer, &number, sizeof number, &sequence), PEPPY_CLOSED);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void history_decides_the_first_message(void)
{
    struct peppy_writer *writer = stream_create(64, 4, 8, 2, 1);
    CHECK_EQUAL(stream_reserve(writer, -1, PEPPY_HISTORY_NONE).start_seq, 1);
    CHECK_EQUAL(stream_reserve(writer, -1, PEPPY_HISTORY_LAST).start_seq, 1);
    CHECK_EQUAL(stream_reserve(writer, -1, PEPPY_HISTORY_ALL).start_seq, 1);
    publish_number(writer, 1);
    publish_number(writer, 2);
    CHECK_EQUAL(stream_reserve(writer, -1, PEPPY_HISTORY_ALL).start_seq, 1);
    for (uint64_t number = 3; number <= 10; number++)
        publish_number(writer, number);
    struct peppy_reader *none = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    struct peppy_reader *last = stream_attach(writer, PEPPY_HISTORY_LAST, 0);
    struct peppy_reader *all = stream_attach(writer, PEPPY_HISTORY_ALL, 0);
    publish_number(writer, 11);
    CHECK_EQUAL(take_number(none), 11);
    CHECK_EQUAL(take_number(last), 10);
    CHECK_EQUAL(take_number(all), 8); /* 7 was the oldest at the time, and has been overwritten since */
    CHECK_EQUAL(stats_of(all).lost, 1);
    struct peppy_claim claim;
    CHECK_EQUAL(peppy_row_reserve(writer, -1, 3, &claim), -EINVAL);
    peppy_reader_close(none);
    peppy_reader_close(last);
    peppy_reader_close(all);
    peppy_writer_free(writer);
}

static void history_never_reaches_below_the_generations_first_sequence(void)
{
    struct peppy_config config = stream_config(64, 8, 4, 2, 1);
    config.first_seq = 1000;
    config.generation = 3;
    struct peppy_writer *writer;
    CHECK_EQUAL(peppy_writer_create(&config, &writer), 0);
    CHECK_EQUAL(stream_reserve(writer, -1, PEPPY_HISTORY_ALL).start_seq, 1000);
    struct peppy_claim claim = stream_reserve(writer, -1, PEPPY_HISTORY_LAST);
    CHECK_EQUAL(claim.start_seq, 1000);
    claim.start_seq = 1;
    struct peppy_reader *reader = stream_claim(writer, &claim, 0);
    struct peppy_message message;
    CHECK_EQUAL(peppy_take(reader, &message), PEPPY_EMPTY);
    for (uint64_t number = 1000; number < 1100; number++) {
        publish_number(writer, number);
        check_writer(writer);
        CHECK_EQUAL(take_number(reader), number);
    }
    CHECK_EQUAL(stats_of(reader).lost, 0);
    struct peppy_config seen;
    CHECK_EQUAL(peppy_reader_config(reader, &seen), 0);
    CHECK_EQUAL(seen.generation, 3);
    CHECK_EQUAL(seen.first_seq, 1000);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void parts_are_gathered_and_gaps_are_zero(void)
{
    struct peppy_writer *writer = stream_create(200, 4, 1, 2, 1);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    uint8_t old[200], buffer[200];
    struct peppy_message message;
    memset(old, 0xff, sizeof old);
    for (int i = 0; i < 40; i++) /* every chunk has an old message that could shine through */
        CHECK_EQUAL(peppy_publish(writer, old, sizeof old, NULL), 0);
    struct peppy_part parts[] = {{"body", 4, 0}, {"region", 6, 64}, {"", 0, 70}, {"tail", 4, 128}};
    CHECK_EQUAL(peppy_publish_parts(writer, parts, 4, 140, NULL), PEPPY_OK);
    while (peppy_take_copy(reader, buffer, sizeof buffer, &message) == PEPPY_OK)
        continue;
    uint8_t wanted[140] = "body";
    memcpy(wanted + 64, "region", 6);
    memcpy(wanted + 128, "tail", 4);
    CHECK(memcmp(buffer, wanted, 140) == 0);
    struct peppy_part overlap[] = {{"body", 4, 0}, {"region", 6, 3}};
    CHECK_EQUAL(peppy_publish_parts(writer, overlap, 2, 140, NULL), -EINVAL);
    struct peppy_part outside = {"body", 4, 137}, wrapping = {"body", ~0ull, 8};
    CHECK_EQUAL(peppy_publish_parts(writer, &outside, 1, 140, NULL), -EINVAL);
    CHECK_EQUAL(peppy_publish_parts(writer, &wrapping, 1, 140, NULL), -EINVAL);
    CHECK_EQUAL(peppy_publish_parts(writer, parts, 1, 257, NULL), PEPPY_TOO_LONG);
    CHECK_EQUAL(peppy_publish_parts(writer, NULL, 0, 0, NULL), PEPPY_OK);
    CHECK_EQUAL(peppy_take_copy(reader, buffer, 0, &message), PEPPY_OK);
    CHECK_EQUAL(message.length, 0);
    check_writer(writer);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void a_message_too_long_for_the_buffer_stays(void)
{
    struct peppy_writer *writer = stream_create(100, 4, 1, 2, 1);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    uint8_t buffer[100] = {0};
    struct peppy_message message;
    uint32_t count;
    CHECK_EQUAL(peppy_publish(writer, buffer, 129, NULL), PEPPY_TOO_LONG);
    CHECK_EQUAL(peppy_publish(writer, buffer, 100, NULL), PEPPY_OK);
    CHECK_EQUAL(peppy_take_copy(reader, buffer, 99, &message), PEPPY_TOO_LONG);
    CHECK_EQUAL(message.length, 100);
    check_reader(reader);
    CHECK_EQUAL(peppy_take_many(reader, buffer, 99, &message, 1, &count), PEPPY_TOO_LONG);
    CHECK_EQUAL(message.length, 100);
    CHECK_EQUAL(count, 0);
    CHECK_EQUAL(peppy_take_copy(reader, buffer, 100, &message), PEPPY_OK);
    CHECK_EQUAL(message.sequence, 1);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void many_are_taken_in_order_at_aligned_places(void)
{
    struct peppy_writer *writer = stream_create(1000, 32, 1, 2, 1);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, PEPPY_LAPPED_NEWEST);
    uint8_t payload[1000], buffer[4096];
    struct peppy_message messages[32];
    uint32_t count, taken = 0;
    for (uint64_t seq = 1; seq <= 32; seq++) {
        proof_fill(payload, proof_length(seq, 1000), EPOCH_LO, seq);
        peppy_publish(writer, payload, proof_length(seq, 1000), NULL);
    }
    while (peppy_take_many(reader, buffer, sizeof buffer, messages, 32, &count) == PEPPY_OK) {
        CHECK(count > 0);
        for (uint32_t i = 0; i < count; i++) {
            CHECK_EQUAL(messages[i].sequence, ++taken);
            CHECK_EQUAL(messages[i].pin % 64, 0);
            CHECK(messages[i].data == buffer + messages[i].pin);
            CHECK(messages[i].data + messages[i].length <= buffer + sizeof buffer);
            CHECK(proof_holds(messages[i].data, messages[i].length, EPOCH_LO, taken));
        }
    }
    CHECK_EQUAL(taken, 32);
    CHECK_EQUAL(peppy_take_many(reader, buffer, sizeof buffer, messages, 32, &count), PEPPY_EMPTY);
    for (uint64_t seq = 33; seq <= 36; seq++)
        publish_number(writer, seq);
    CHECK_EQUAL(peppy_take_many(reader, buffer, sizeof buffer, messages, 3, &count), PEPPY_OK);
    CHECK_EQUAL(count, 3);
    check_reader(reader);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void the_end_is_reached_when_everything_is_taken(void)
{
    struct peppy_writer *writer = stream_create(64, 4, 2, 2, 1);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    struct peppy_loan loan;
    struct peppy_message message;
    struct peppy_stream_stats stats;
    CHECK_EQUAL(peppy_loan_take(writer, 8, &loan), PEPPY_OK);
    for (uint64_t number = 1; number <= 6; number++)
        publish_number(writer, number);
    CHECK_EQUAL(peppy_writer_close(writer, 77), 0);
    CHECK_EQUAL(peppy_writer_close(writer, 78), 0); /* the first one counts */
    CHECK_EQUAL(publish_number(writer, 7), PEPPY_CLOSED);
    CHECK_EQUAL(peppy_loan_publish(writer, loan.chunk, 8, NULL), PEPPY_CLOSED);
    CHECK_EQUAL(peppy_loan_discard(writer, loan.chunk), 0);
    CHECK_EQUAL(peppy_loan_take(writer, 8, &loan), PEPPY_CLOSED);
    CHECK_EQUAL(peppy_writer_stats(writer, &stats), 0);
    CHECK_EQUAL(stats.closed_status, 77);
    CHECK_EQUAL(stats.closed_seq, 7);
    peppy_writer_free(writer);
    for (uint64_t number = 3; number <= 6; number++) /* its last `depth` messages stay readable */
        CHECK_EQUAL(take_number(reader), number);
    CHECK_EQUAL(peppy_take(reader, &message), PEPPY_CLOSED);
    CHECK_EQUAL(peppy_take(reader, &message), PEPPY_CLOSED);
    peppy_reader_close(reader);
}

static void nonsense_in_a_descriptor_is_stepped_over_and_counted(void)
{
    struct peppy_writer *writer = stream_create(64, 8, 1, 2, 1);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    struct descriptor *ring = ring_of(&writer->mapping);
    for (uint64_t number = 1; number <= 7; number++)
        publish_number(writer, number);
    store_relaxed(&ring[1].chunk_flags, 0xffffffff);
    store_relaxed(&ring[2].length, 1u << 30);
    store_relaxed(&ring[3].chunk_flags, load_relaxed(&ring[4].chunk_flags)); /* a chunk, but not this message's */
    store_relaxed(&ring[4].length, 9);                                      /* a length, but not this message's */
    store_relaxed(&ring[5].seq, 3);                                         /* older than it can be */
    CHECK_EQUAL(take_number(reader), 6);
    CHECK_EQUAL(take_number(reader), 7);
    CHECK_EQUAL(stats_of(reader).corrupt, 5);
    CHECK_EQUAL(stats_of(reader).lost, 5); /* never handed out: received + lost + lag stays exact */
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void a_message_being_written_is_not_stepped_over(void)
{
    struct peppy_writer *writer = stream_create(64, 4, 1, 2, 1);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    struct peppy_message message;
    struct descriptor *ring = ring_of(&writer->mapping);
    for (uint64_t number = 1; number <= 4; number++) {
        publish_number(writer, number);
        CHECK_EQUAL(take_number(reader), number);
    }
    store_relaxed(&ring[5 & 3].seq, 0); /* a publish of 5 that has done P3 */
    CHECK_EQUAL(peppy_take(reader, &message), PEPPY_EMPTY);
    CHECK_EQUAL(peppy_arm(reader), PEPPY_EMPTY);
    publish_number(writer, 5);
    store_relaxed(&hot_of(&writer->mapping)->head, 4); /* one that has done P5 and not P6 */
    CHECK_EQUAL(peppy_arm(reader), PEPPY_OK);
    CHECK_EQUAL(take_number(reader), 5);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void the_age_of_the_next_message_is_known_before_it_is_taken(void)
{
    struct peppy_writer *writer = stream_create(64, 4, 1, 2, 1);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    struct peppy_message message;
    uint64_t since;
    CHECK_EQUAL(peppy_waiting_since(reader, &since), PEPPY_EMPTY);
    for (uint64_t number = 1; number <= 4; number++)
        publish_number(writer, number);
    CHECK_EQUAL(peppy_waiting_since(reader, &since), PEPPY_OK);
    CHECK_EQUAL(peppy_take(reader, &message), PEPPY_OK);
    CHECK_EQUAL(message.publish_time_ns, since);
    UNPIN(reader, message);
    for (uint64_t number = 5; number <= 7; number++)
        publish_number(writer, number);
    CHECK_EQUAL(peppy_waiting_since(reader, &since), PEPPY_OK);
    CHECK_EQUAL(since, 0); /* the next one is lost */
    peppy_writer_close(writer, 0);
    for (uint64_t number = 4; number <= 7; number++)
        CHECK_EQUAL(take_number(reader), number);
    CHECK_EQUAL(peppy_waiting_since(reader, &since), PEPPY_CLOSED);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void observers_and_writers_count_alike(void)
{
    struct peppy_writer *writer = stream_create(64, 4, 3, 3, 1);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    struct peppy_observer *observer;
    struct peppy_stream_stats seen, own;
    struct peppy_row_stats row;
    struct peppy_message view;
    CHECK_EQUAL(peppy_observer_open(writer->data_fd, writer->ctrl_fd, &observer), 0);
    for (uint64_t number = 1; number <= 10; number++)
        publish_number(writer, number);
    CHECK_EQUAL(peppy_take(reader, &view), PEPPY_OK);
    CHECK_EQUAL(peppy_observer_stats(observer, &seen), 0);
    CHECK_EQUAL(peppy_writer_stats(writer, &own), 0);
    CHECK_EQUAL(seen.head, 10);
    CHECK_EQUAL(seen.published, 10);
    CHECK_EQUAL(seen.bytes, 80);
    CHECK_EQUAL(seen.max_length, 8);
    CHECK_EQUAL(seen.live_rows, 1);
    CHECK_EQUAL(seen.pins, 1);
    CHECK(seen.last_publish_ns != 0);
    CHECK_EQUAL(own.chunks_used, writer->used);
    own.chunks_used = 0; /* private to the writer */
    CHECK(memcmp(&own, &seen, sizeof own) == 0);
    CHECK_EQUAL(peppy_observer_row(observer, 0, &row), 0);
    CHECK_EQUAL(row.state, PEPPY_ROW_LIVE);
    CHECK_EQUAL(row.taken, 1);
    CHECK_EQUAL(row.lost, 6);
    CHECK_EQUAL(row.cursor, 8);
    CHECK_EQUAL(row.held_now, 1);
    CHECK(row.last_take_ns != 0);
    CHECK_EQUAL(peppy_observer_row(observer, 3, &row), -ECHRNG);
    UNPIN(reader, view);
    peppy_observer_close(observer);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void an_observer_describes_the_newest_messages_that_are_held(void)
{
    struct peppy_writer *writer = stream_create(64, 6, 2, 2, 1);
    struct peppy_observer *observer;
    struct peppy_published seen[8];
    uint32_t count;
    CHECK_EQUAL(peppy_observer_open(writer->data_fd, writer->ctrl_fd, &observer), 0);
    CHECK_EQUAL(peppy_observer_recent(observer, 0, seen, 8, &count), 0);
    CHECK_EQUAL(count, 0);
    for (uint64_t number = 1; number <= 10; number++)
        CHECK_EQUAL(peppy_publish(writer, &number, number % 8, NULL), PEPPY_OK);
    CHECK_EQUAL(peppy_observer_recent(observer, 0, seen, 8, &count), 0);
    CHECK_EQUAL(count, 6); /* the others are overwritten */
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQUAL(seen[i].sequence, 5 + i);
        CHECK_EQUAL(seen[i].length, (5 + i) % 8);
        CHECK(seen[i].publish_time_ns >= seen[i ? i - 1 : 0].publish_time_ns);
    }
    CHECK_EQUAL(peppy_observer_recent(observer, 0, seen, 2, &count), 0);
    CHECK_EQUAL(count, 2);
    CHECK_EQUAL(seen[0].sequence, 9);
    CHECK_EQUAL(peppy_observer_recent(observer, 8, seen, 8, &count), 0);
    CHECK_EQUAL(count, 3);
    CHECK_EQUAL(seen[0].sequence, 8);
    CHECK_EQUAL(peppy_observer_recent(observer, 11, seen, 8, &count), 0);
    CHECK_EQUAL(count, 0);
    store_relaxed(&ring_of(&writer->mapping)[9 % 8].seq, 0); /* being written: left out */
    CHECK_EQUAL(peppy_observer_recent(observer, 8, seen, 8, &count), 0);
    CHECK_EQUAL(count, 2);
    CHECK_EQUAL(seen[1].sequence, 10);
    store_relaxed(&hot_of(&writer->mapping)->head, UINT64_MAX); /* nonsense is no end of the world */
    CHECK_EQUAL(peppy_observer_recent(observer, 0, seen, 8, &count), 0);
    CHECK_EQUAL(count, 0);
    peppy_observer_close(observer);
    peppy_writer_free(writer);
}

RUN_CLAIMS(CLAIM(messages_arrive_in_order_through_many_turns_of_the_ring),
           CLAIM(a_lapped_reader_goes_on_with_the_oldest_held),
           CLAIM(a_lapped_reader_that_wants_it_jumps_to_the_newest),
           CLAIM(publishing_at_once_waits_for_no_other_thread),
           CLAIM(history_decides_the_first_message),
           CLAIM(history_never_reaches_below_the_generations_first_sequence),
           CLAIM(parts_are_gathered_and_gaps_are_zero),
           CLAIM(a_message_too_long_for_the_buffer_stays),
           CLAIM(many_are_taken_in_order_at_aligned_places),
           CLAIM(the_end_is_reached_when_everything_is_taken),
           CLAIM(nonsense_in_a_descriptor_is_stepped_over_and_counted),
           CLAIM(a_message_being_written_is_not_stepped_over),
           CLAIM(the_age_of_the_next_message_is_known_before_it_is_taken),
           CLAIM(observers_and_writers_count_alike),
           CLAIM(an_observer_describes_the_newest_messages_that_are_held))
