#pragma once
/* What the test programs share: small streams, payloads that prove themselves, and the state of this process. */
#include "../core.h"

#define EPOCH_HI 0x1122334455667788ull
#define EPOCH_LO 0x99aabbccddeeff00ull

struct peppy_config stream_config(uint64_t capacity, uint32_t depth, uint32_t rows, uint32_t pins, uint32_t loans);
struct peppy_writer *stream_create(uint64_t capacity, uint32_t depth, uint32_t rows, uint32_t pins, uint32_t loans);
struct peppy_writer *stream_create_reliable(uint64_t capacity, uint32_t depth, uint32_t rows, uint32_t pins);
struct peppy_reader *stream_attach(struct peppy_writer *writer, int history, int lapped);
struct peppy_claim stream_reserve(struct peppy_writer *writer, int doorbell, int history);
struct peppy_reader *stream_claim(struct peppy_writer *writer, const struct peppy_claim *claim, int lapped);
int publish_number(struct peppy_writer *writer, uint64_t number); /* eight bytes */
uint64_t number_of(const struct peppy_message *message);
/* After PEPPY_WOULD_BLOCK: whether a reader rang within the time, which may be -1. */
bool wait_for_space(struct peppy_writer *writer, int milliseconds);
#define WHEN_THERE_IS_ROOM(writer, call)             \
    do {                                             \
        int result_;                                 \
        while ((result_ = (call)) == PEPPY_WOULD_BLOCK) \
            wait_for_space((writer), 100);           \
        CHECK_EQUAL(result_, PEPPY_OK);              \
    } while (0)

/* Each byte follows from epoch, seq and its place: a torn or foreign message cannot look right. The length does too. */
uint64_t proof_length(uint64_t seq, uint64_t capacity);
void proof_fill(uint8_t *payload, uint64_t length, uint64_t epoch, uint64_t seq);
bool proof_holds(const uint8_t *payload, uint64_t length, uint64_t epoch, uint64_t seq);

uint32_t open_descriptors(void);
uint32_t stream_mappings(void); /* of memfds */

/* Invariants, for use after any step. They end the program when one is broken. */
void check_writer(const struct peppy_writer *writer);
void check_reader(const struct peppy_reader *reader);
