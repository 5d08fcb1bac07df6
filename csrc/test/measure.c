/*
 * What publish and take cost, beside the memcpy of the same run. Orientation for people (`make -C csrc measure`), not a
 * test: one process, one thread, no reader on another core. bench/ measures between processes.
 */
#include "../core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "claims.h"
#include "streams.h"

#define REPEATS 9

static uint64_t now(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *values)
{
    qsort(values, REPEATS, sizeof *values, by_value);
    return values[REPEATS / 2];
}

/* Warm source, destinations in turn over as many buffers as the ring keeps busy: the copy that publish cannot avoid. */
static double memcpy_ns(uint64_t length, uint32_t buffers, uint32_t rounds)
{
    double took[REPEATS];
    uint8_t *source = malloc(length), *pool = malloc(length * buffers);
    memset(source, 1, length);
    memset(pool, 1, length * buffers);
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        uint64_t start = now();
        for (uint32_t i = 0; i < rounds; i++) {
            memcpy(pool + i % buffers * length, source, length);
            __asm__ volatile("" ::: "memory");
        }
        took[repeat] = (double)(now() - start) / rounds;
    }
    free(source);
    free(pool);
    return median(took);
}

static void measure(uint64_t length, uint32_t depth, uint32_t rounds)
{
    struct peppy_writer *writer = stream_create(length, depth, 64, 4, 4);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, PEPPY_LAPPED_OLDEST);
    struct peppy_message message;
    uint8_t *buffer = malloc(length);
    double publish[REPEATS], both[REPEATS], view[REPEATS];
    memset(buffer, 1, length);
    for (uint32_t i = 0; i < depth + 80; i++)
        peppy_publish(writer, buffer, length, NULL);
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        uint64_t start = now();
        for (uint32_t i = 0; i < rounds; i++)
            peppy_publish(writer, buffer, length, NULL);
        publish[repeat] = (double)(now() - start) / rounds;
        while (peppy_take_copy(reader, buffer, length, &message) == PEPPY_OK)
            continue;
        start = now();
        for (uint32_t i = 0; i < rounds; i++) {
            peppy_publish(writer, buffer, length, NULL);
            CHECK(peppy_take_copy(reader, buffer, length, &message) == PEPPY_OK);
        }
        both[repeat] = (double)(now() - start) / rounds - publish[repeat];
        start = now();
        for (uint32_t i = 0; i < rounds; i++) {
            peppy_publish(writer, buffer, length, NULL);
            CHECK(peppy_take(reader, &message) == PEPPY_OK);
            CHECK(peppy_unpin(reader, message.pin, message.data) == 0);
        }
        view[repeat] = (double)(now() - start) / rounds - publish[repeat];
    }
    double hot = memcpy_ns(length, 1, rounds), turn = memcpy_ns(length, depth + 1, rounds), published = median(publish);
    printf("%9lu B depth %3u  publish %9.0f ns = %.2f x memcpy in turn, %.2f x memcpy to one place (%.0f, %.0f ns)"
           "  take_copy %9.0f ns  view %4.0f ns\n",
           (unsigned long)length, depth, published, published / turn, published / hot, turn, hot, median(both),
           median(view));
    free(buffer);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

int main(void)
{
    measure(16, 128, 200000);
    measure(4096, 128, 100000);
    measure(1u << 20, 62, 300);
    measure(1u << 20, 4, 300);
    measure(8u << 20, 6, 40);
    return 0;
}
