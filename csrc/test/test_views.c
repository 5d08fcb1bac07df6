/* What is held: views that never change, the quota of pins, loans, and a chunk for every message all the same. */
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

static void a_view_never_changes_while_it_is_held(void)
{
    const uint64_t capacity = 3000;
    struct peppy_writer *writer = stream_create(capacity, 4, 3, 4, 2);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    struct peppy_message views[3];
    uint8_t payload[3000];
    for (uint64_t seq = 1; seq <= 300; seq++) {
        uint64_t length = proof_length(seq, capacity);
        proof_fill(payload, length, EPOCH_LO, seq);
        CHECK_EQUAL(peppy_publish(writer, payload, length, NULL), PEPPY_OK);
        if (seq <= 3)
            CHECK_EQUAL(peppy_take(reader, &views[seq - 1]), PEPPY_OK);
        check_writer(writer);
        check_reader(reader);
    }
    for (uint64_t seq = 1; seq <= 3; seq++) {
        CHECK_EQUAL(views[seq - 1].length, proof_length(seq, capacity));
        CHECK(proof_holds(views[seq - 1].data, views[seq - 1].length, EPOCH_LO, seq));
        CHECK_EQUAL((uintptr_t)views[seq - 1].data % 64, 0);
        UNPIN(reader, views[seq - 1]);
    }
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void the_quota_of_views_is_one_less_than_the_pins_and_copies_never_meet_it(void)
{
    struct peppy_writer *writer = stream_create(64, 16, 2, 3, 1);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    struct peppy_message views[3];
    for (uint64_t number = 1; number <= 10; number++)
        publish_number(writer, number);
    CHECK_EQUAL(peppy_take(reader, &views[0]), PEPPY_OK);
    CHECK_EQUAL(peppy_take(reader, &views[1]), PEPPY_OK);
    CHECK_EQUAL(peppy_take(reader, &views[2]), PEPPY_TOO_MANY_HELD);
    CHECK_EQUAL(take_number(reader), 3);
    peppy_copy_forced(reader);
    UNPIN(reader, views[0]);
    CHECK_EQUAL(peppy_take(reader, &views[0]), PEPPY_OK);
    CHECK_EQUAL(number_of(&views[0]), 4);
    struct peppy_row_stats stats = stats_of(reader);
    CHECK_EQUAL(stats.held_now, 2);
    CHECK_EQUAL(stats.held_max, 2);
    CHECK_EQUAL(stats.copies_forced, 1);
    CHECK_EQUAL(stats.taken, 4);
    UNPIN(reader, views[0]);
    UNPIN(reader, views[1]);
    CHECK_EQUAL(stats_of(reader).held_now, 0);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void a_pin_is_given_back_once_and_only_by_its_view(void)
{
    struct peppy_writer *writer = stream_create(64, 4, 2, 3, 1);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    struct peppy_message view;
    publish_number(writer, 1);
    CHECK_EQUAL(peppy_take(reader, &view), PEPPY_OK);
    CHECK_EQUAL(peppy_unpin(reader, view.pin + 1, view.data), -EINVAL);
    CHECK_EQUAL(peppy_unpin(reader, 1000, view.data), -EINVAL);
    CHECK_EQUAL(peppy_unpin(reader, view.pin, view.data + 1), -EINVAL);
    CHECK_EQUAL(peppy_unpin(reader, view.pin, NULL), -EINVAL);
    check_reader(reader);
    UNPIN(reader, view);
    CHECK_EQUAL(peppy_unpin(reader, view.pin, view.data), -EINVAL);
    check_reader(reader);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void views_outlive_the_close_of_their_reader(void)
{
    uint32_t descriptors = open_descriptors(), mappings = stream_mappings();
    struct peppy_writer *writer = stream_create(64, 4, 1, 3, 1);
    struct peppy_claim claim = stream_reserve(writer, -1, PEPPY_HISTORY_NONE), another;
    struct peppy_reader *reader = stream_claim(writer, &claim, 0);
    struct peppy_message views[2];
    publish_number(writer, 1);
    publish_number(writer, 2);
    CHECK_EQUAL(peppy_take(reader, &views[0]), PEPPY_OK);
    CHECK_EQUAL(peppy_take(reader, &views[1]), PEPPY_OK);
    peppy_reader_close(reader);
    CHECK_EQUAL(load_relaxed(&row_of(&writer->mapping, claim.row)->state), PEPPY_ROW_CLOSING);
    struct peppy_message none;
    CHECK_EQUAL(peppy_take(reader, &none), -ESHUTDOWN);
    for (uint64_t number = 3; number < 50; number++)
        publish_number(writer, number);
    CHECK_EQUAL(peppy_row_release(writer, claim.row, claim.ticket), -EBUSY);
    UNPIN(reader, views[0]);
    CHECK_EQUAL(number_of(&views[1]), 2);
    CHECK_EQUAL(peppy_row_reserve(writer, -1, PEPPY_HISTORY_NONE, &another), -EUSERS);
    UNPIN(reader, views[1]);
    CHECK_EQUAL(load_relaxed(&row_of(&writer->mapping, claim.row)->state), PEPPY_ROW_GONE);
    CHECK_EQUAL(peppy_row_release(writer, claim.row, claim.ticket), 0);
    peppy_writer_free(writer);
    CHECK_EQUAL(open_descriptors(), descriptors);
    CHECK_EQUAL(stream_mappings(), mappings);
}

static void a_chunk_is_found_although_every_pin_and_every_loan_is_out(void)
{
    const uint32_t rows = 3, pins = 3, loans = 2, depth = 4;
    struct peppy_writer *writer = stream_create(64, depth, rows, pins, loans);
    struct peppy_reader *readers[3];
    struct peppy_loan loan[3];
    for (uint32_t row = 0; row < rows; row++) {
        readers[row] = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
        for (uint32_t pin = 0; pin < pins; pin++) { /* all of them, each on a chunk of its own: the worst there is */
            publish_number(writer, 1);
            store_relaxed(&readers[row]->row->pin[pin], writer->shadow[(writer->next_seq - 1) & 3] + 1);
        }
    }
    for (uint32_t i = 0; i < loans; i++)
        CHECK_EQUAL(peppy_loan_take(writer, 64, &loan[i]), PEPPY_OK);
    CHECK_EQUAL(peppy_loan_take(writer, 64, &loan[loans]), PEPPY_TOO_MANY_HELD);
    for (int i = 0; i < 100; i++) {
        CHECK_EQUAL(publish_number(writer, 1), PEPPY_OK);
        check_writer(writer);
    }
    CHECK_EQUAL(writer->used, writer->geometry.chunks); /* and not one chunk is too many */
    CHECK_EQUAL(writer->no_chunk, 0);
    for (uint32_t i = 0; i < loans; i++)
        CHECK_EQUAL(peppy_loan_discard(writer, loan[i].chunk), 0);
    for (uint32_t row = 0; row < rows; row++)
        peppy_reader_close(readers[row]);
    peppy_writer_free(writer);
}

static void a_stream_that_holds_more_than_it_promised_says_so(void)
{
    struct peppy_writer *writer = stream_create(64, 4, 1, 2, 1);
    struct peppy_loan loan;
    writer->geometry.chunks = 4; /* as if the pool were smaller than the rules make it */
    writer->easy_limit = 4;
    for (int i = 0; i < 4; i++)
        publish_number(writer, 1);
    CHECK_EQUAL(publish_number(writer, 1), PEPPY_NO_CHUNK);
    CHECK_EQUAL(peppy_loan_take(writer, 1, &loan), PEPPY_NO_CHUNK);
    struct peppy_stream_stats stats;
    CHECK_EQUAL(peppy_writer_stats(writer, &stats), 0);
    CHECK_EQUAL(stats.no_chunk, 2);
    CHECK_EQUAL(stats.published, 4);
    peppy_writer_free(writer);
}

static void a_loan_is_published_in_place(void)
{
    struct peppy_writer *writer = stream_create(100, 4, 1, 2, 2);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, 0);
    struct peppy_loan loan;
    struct peppy_message message;
    CHECK_EQUAL(peppy_loan_take(writer, 129, &loan), PEPPY_TOO_LONG);
    CHECK_EQUAL(peppy_loan_take(writer, 50, &loan), PEPPY_OK);
    CHECK_EQUAL(loan.length, 50);
    CHECK_EQUAL((uintptr_t)loan.data % 64, 0);
    memcpy(loan.data, "in place", 8);
    publish_number(writer, 1); /* others may go first */
    CHECK_EQUAL(peppy_loan_publish(writer, loan.chunk, 51, NULL), PEPPY_TOO_LONG);
    uint64_t sequence;
    CHECK_EQUAL(peppy_loan_publish(writer, loan.chunk, 8, &sequence), PEPPY_OK);
    CHECK_EQUAL(sequence, 2);
    check_writer(writer);
    CHECK_EQUAL(peppy_loan_publish(writer, loan.chunk, 8, NULL), -EINVAL);
    CHECK_EQUAL(peppy_loan_discard(writer, loan.chunk), -EINVAL);
    CHECK_EQUAL(peppy_loan_discard(writer, ~0u), -EINVAL);
    CHECK_EQUAL(take_number(reader), 1);
    CHECK_EQUAL(peppy_take(reader, &message), PEPPY_OK);
    CHECK_EQUAL(message.length, 8);
    CHECK(memcmp(message.data, "in place", 8) == 0);
    UNPIN(reader, message);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

RUN_CLAIMS(CLAIM(a_view_never_changes_while_it_is_held),
           CLAIM(the_quota_of_views_is_one_less_than_the_pins_and_copies_never_meet_it),
           CLAIM(a_pin_is_given_back_once_and_only_by_its_view),
           CLAIM(views_outlive_the_close_of_their_reader),
           CLAIM(a_chunk_is_found_although_every_pin_and_every_loan_is_out),
           CLAIM(a_stream_that_holds_more_than_it_promised_says_so),
           CLAIM(a_loan_is_published_in_place))
