#include "streams.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "claims.h"

struct peppy_config stream_config(uint64_t capacity, uint32_t depth, uint32_t rows, uint32_t pins, uint32_t loans)
{
    return (struct peppy_config){
        .epoch_hi = EPOCH_HI,
        .epoch_lo = EPOCH_LO,
        .generation = 1,
        .topic_hash = 1,
        .schema_hash = 2,
        .first_seq = 1,
        .capacity = capacity,
        .depth = depth,
        .rows = rows,
        .pins = pins,
        .loans = loans,
    };
}

struct peppy_writer *stream_create(uint64_t capacity, uint32_t depth, uint32_t rows, uint32_t pins, uint32_t loans)
{
    struct peppy_config config = stream_config(capacity, depth, rows, pins, loans);
    struct peppy_writer *writer = NULL;
    CHECK_EQUAL(peppy_writer_create(&config, &writer), 0);
    return writer;
}

struct peppy_writer *stream_create_reliable(uint64_t capacity, uint32_t depth, uint32_t rows, uint32_t pins)
{
    struct peppy_config config = stream_config(capacity, depth, rows, pins, 2);
    struct peppy_writer *writer = NULL;
    config.flags = PEPPY_RELIABLE;
    CHECK_EQUAL(peppy_writer_create(&config, &writer), 0);
    return writer;
}

struct peppy_claim stream_reserve(struct peppy_writer *writer, int doorbell, int history)
{
    struct peppy_claim claim;
    CHECK_EQUAL(peppy_row_reserve(writer, doorbell, history, &claim), 0);
    return claim;
}

struct peppy_reader *stream_claim(struct peppy_writer *writer, const struct peppy_claim *claim, int lapped)
{
    struct peppy_reader *reader = NULL;
    CHECK_EQUAL(
        peppy_reader_open(peppy_writer_data_fd(writer), peppy_writer_ctrl_fd(writer), claim, lapped, &reader), 0);
    if (peppy_writer_space_fd(writer) >= 0)
        CHECK_EQUAL(peppy_reader_space(reader, peppy_writer_space_fd(writer)), 0);
    return reader;
}

bool wait_for_space(struct peppy_writer *writer, int milliseconds)
{
    struct pollfd bell = {.fd = peppy_writer_space_fd(writer), .events = POLLIN};
    uint64_t rings;
    if (poll(&bell, 1, milliseconds) < 1)
        return false;
    CHECK_EQUAL(read(bell.fd, &rings, sizeof rings), sizeof rings);
    return true;
}

struct peppy_reader *stream_attach(struct peppy_writer *writer, int history, int lapped)
{
    struct peppy_claim claim = stream_reserve(writer, -1, history);
    return stream_claim(writer, &claim, lapped);
}

int publish_number(struct peppy_writer *writer, uint64_t number)
{
    return peppy_publish(writer, &number, sizeof number, NULL);
}

uint64_t number_of(const struct peppy_message *message)
{
    uint64_t number;
    CHECK_EQUAL(message->length, sizeof number);
    memcpy(&number, message->data, sizeof number);
    return number;
}

static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ull;
    value = (value ^ value >> 27) * 0x94d049bb133111ebull;
    return value ^ value >> 31;
}

uint64_t proof_length(uint64_t seq, uint64_t capacity)
{
    return mix(seq) % (capacity + 1);
}

void proof_fill(uint8_t *payload, uint64_t length, uint64_t epoch, uint64_t seq)
{
    uint64_t key = mix(epoch ^ seq * 0x9e3779b97f4a7c15ull);
    for (uint64_t at = 0; at < length; at += 8) {
        uint64_t word = mix(key + at);
        memcpy(payload + at, &word, length - at < 8 ? length - at : 8);
    }
}

bool proof_holds(const uint8_t *payload, uint64_t length, uint64_t epoch, uint64_t seq)
{
    uint64_t key = mix(epoch ^ seq * 0x9e3779b97f4a7c15ull);
    for (uint64_t at = 0; at < length; at += 8) {
        uint64_t word = mix(key + at);
        if (memcmp(payload + at, &word, length - at < 8 ? length - at : 8) != 0)
            return false;
    }
    return true;
}

uint32_t open_descriptors(void)
{
    uint32_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    CHECK(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 3; /* ".", ".." and the directory itself */
}

uint32_t stream_mappings(void)
{
    char line[512];
    uint32_t count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    CHECK(maps);
    while (fgets(line, sizeof line, maps))
        count += strstr(line, "/memfd:peppy-") != NULL;
    fclose(maps);
    return count;
}
