/*
 * How big everything is: the rules by which a writer plans its segments and by which everybody else checks what a
 * stranger's header says. Sizes: docs/design/ring.md, Memory.
 */
#include "core.h"

#include <errno.h>

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

static uint64_t stride_of(uint64_t capacity)
{
    return round_up(sizeof(struct chunk_header) + capacity, capacity >= PAGE ? PAGE : LINE);
}

static uint32_t slots_of(uint32_t depth)
{
    uint32_t slots = 4;
    while (slots < depth)
        slots *= 2;
    return slots;
}

/* Held messages, every pin of every row, every write loan, and one that is being written: publish always finds one. */
static uint64_t chunks_needed(const struct peppy_config *config)
{
    return (uint64_t)config->depth + (uint64_t)config->rows * config->pins + config->loans + 1;
}

static int check_ranges(const struct peppy_config *config)
{
    if (config->rows < 1 || config->rows > PEPPY_MAX_ROWS)
        return -ERANGE;
    if (config->pins < 2 || config->pins > PEPPY_MAX_PINS)
        return -ERANGE;
    if (config->loans > MAX_CHUNKS || config->capacity > MAX_CAPACITY || config->flags & ~(uint32_t)PEPPY_RELIABLE)
        return -ERANGE;
    return 0;
}

/* Where every region lies. Fails instead of wrapping round. */
static int place_regions(struct geometry *geometry)
{
    uint64_t pool;
    geometry->off_pool = round_up(RING_OFFSET + (uint64_t)geometry->slots * sizeof(struct descriptor), PAGE);
    if (__builtin_mul_overflow((uint64_t)geometry->chunks, geometry->stride, &pool))
        return -EOVERFLOW;
    if (__builtin_add_overflow(geometry->off_pool, pool, &geometry->data_size))
        return -EOVERFLOW;
    if (geometry->data_size > INT64_MAX - PAGE)
        return -EOVERFLOW;
    geometry->data_size = round_up(geometry->data_size, PAGE);
    geometry->ctrl_size = round_up(ROWS_OFFSET + geometry->config.rows * sizeof(struct row), PAGE);
    return 0;
}

int geometry_plan(const struct peppy_config *config, struct geometry *geometry)
{
    *geometry = (struct geometry){.config = *config};
    struct peppy_config *planned = &geometry->config;
    if (planned->depth < 4 || planned->depth > PEPPY_MAX_DEPTH)
        return -EDOM;
    int result = check_ranges(planned);
    if (result)
        return result;
    if (planned->first_seq < 1 || planned->generation < 1)
        return -EINVAL;
    planned->capacity = round_up(planned->capacity ? planned->capacity : 1, planned->capacity >= PAGE ? PAGE : LINE);
    geometry->slots = slots_of(planned->depth);
    if (chunks_needed(planned) > MAX_CHUNKS)
        return -ENOBUFS;
    geometry->chunks = (uint32_t)chunks_needed(planned);
    geometry->stride = stride_of(planned->capacity);
    return place_regions(geometry);
}

/* A stranger's config, slots, chunks and stride. Sets the places of all regions; the file must still hold them. */
int geometry_check(struct geometry *geometry)
{
    const struct peppy_config *config = &geometry->config;
    if (config->depth < 4 || config->depth > PEPPY_MAX_DEPTH || geometry->slots != slots_of(config->depth))
        return -EDOM;
    int result = check_ranges(config);
    if (result)
        return result;
    if (geometry->stride < sizeof(struct chunk_header) + config->capacity || geometry->stride % LINE != 0)
        return -EDOM;
    if (geometry->chunks < chunks_needed(config) || geometry->chunks > MAX_CHUNKS)
        return -ENOBUFS;
    return place_regions(geometry);
}
