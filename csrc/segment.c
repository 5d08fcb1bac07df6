/*
 * The two memfds of a stream generation: planned, created and sealed by the writer, checked and mapped by the others.
 *
 * The attach checks run in this order, each with an errno of its own (csrc/test/test_segment.c forges every one):
 *
 *   -EBADF            not a descriptor (from fstat)       -ENXIO      not a regular file
 *   -ENODATA          shorter than its fixed part         -EPERM      a required seal is missing
 *   -EBADMSG          magic                               -EINPROGRESS  the header is not ready
 *   -EPROTONOSUPPORT  abi_major                           -EPROTO     layout_hash
 *   -EXDEV            CTRL belongs to another DATA        -EDOM       depth, slots or stride against the rules
 *   -ERANGE           rows, pins, capacity, loans, flags  -ENOBUFS    too few chunks for what is promised, or too many
 *   -EOVERFLOW        the arithmetic of the regions       -EFBIG      a region outside the file
 *   -EMSGSIZE         total_size is not the file's        (mmap's own errors as they come)
 *
 * Seals are checked before mmap: without them a stranger could shrink the file under the mapping. Every field is loaded
 * once into private memory, checked there, and never read from the segment again.
 */
#include "core.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define CTRL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define DATA_SEALS (CTRL_SEALS | F_SEAL_FUTURE_WRITE)

uint64_t peppy_layout_hash(void)
{
    static const uint32_t layout[] = {
        sizeof(struct data_header),
        offsetof(struct data_header, depth),
        offsetof(struct data_header, first_seq),
        offsetof(struct data_header, ready),
        HOT_OFFSET,
        sizeof(struct hot_page),
        offsetof(struct hot_page, closed_status),
        offsetof(struct hot_page, moved_last_seq),
        offsetof(struct hot_page, published),
        RING_OFFSET,
        sizeof(struct descriptor),
        offsetof(struct descriptor, publish_time_ns),
        sizeof(struct chunk_header),
        offsetof(struct chunk_header, canary),
        sizeof(struct ctrl_header),
        offsetof(struct ctrl_header, armed),
        offsetof(struct ctrl_header, wants_space),
        ROWS_OFFSET,
        sizeof(struct row),
        offsetof(struct row, ticket),
        offsetof(struct row, state),
        ABI_MAJOR,
    };
    uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a, one step per number */
    for (size_t i = 0; i < sizeof layout / sizeof *layout; i++)
        hash = (hash ^ layout[i]) * 0x100000001b3ull;
    return hash;
}

/* --- creating ----------------------------------------------------------------------------------------------------- */

static int memfd(const char *name, uint64_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) /* a kernel before 6.3 */
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)size) == 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

/* Mappings stay out of core dumps: a process that dumps keeps its leases until the dump is written. */
static int map(int fd, uint64_t size, int protection, uint8_t **address)
{
    void *mapped = mmap(NULL, size, protection, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
        return -errno;
    madvise(mapped, size, MADV_DONTDUMP);
    *address = mapped;
    return 0;
}

void segment_unmap(struct mapping *mapping)
{
    if (mapping->data)
        munmap(mapping->data, mapping->data_size);
    if (mapping->ctrl)
        munmap(mapping->ctrl, mapping->ctrl_size);
    *mapping = (struct mapping){0};
}

static size_t read_small_file(const char *path, char *text, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, room - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    return got > 0 ? (size_t)got : 0;
}

/* Who wrote this, for people: a boot id, a pid and its start time. Zeros when /proc does not tell. */
static void write_identity(struct data_header *header)
{
    char text[1024];
    uint64_t boot[2] = {0, 0};
    size_t digits = 0;
    read_small_file("/proc/sys/kernel/random/boot_id", text, 64);
    for (const char *at = text; *at && digits < 32; at++) {
        int digit = *at >= '0' && *at <= '9' ? *at - '0' : *at >= 'a' && *at <= 'f' ? *at - 'a' + 10 : -1;
        if (digit < 0)
            continue;
        boot[digits / 16] = boot[digits / 16] << 4 | (uint64_t)digit;
        digits++;
    }
    store_relaxed(&header->boot_id[0], boot[0]);
    store_relaxed(&header->boot_id[1], boot[1]);
    store_relaxed(&header->writer_pid, (uint32_t)getpid());
    if (!read_small_file("/proc/self/stat", text, sizeof text))
        return;
    const char *field = strrchr(text, ')'); /* the name may hold spaces and parentheses; field 3 follows it */
    for (int number = 2; field && number < 22; number++)
        field = strchr(field + 1, ' ');
    store_relaxed(&header->writer_start, field ? strtoull(field, NULL, 10) : 0);
}

static void write_data_header(const struct geometry *geometry, struct data_header *header)
{
    const struct peppy_config *config = &geometry->config;
    store_relaxed(&header->magic, DATA_MAGIC);
    store_relaxed(&header->abi_major, ABI_MAJOR);
    store_relaxed(&header->abi_minor, ABI_MINOR);
    store_relaxed(&header->layout_hash, peppy_layout_hash());
    store_relaxed(&header->total_size, geometry->data_size);
    store_relaxed(&header->epoch_hi, config->epoch_hi);
    store_relaxed(&header->epoch_lo, config->epoch_lo);
    store_relaxed(&header->generation, config->generation);
    store_relaxed(&header->topic_hash, config->topic_hash);
    store_relaxed(&header->schema_hash, config->schema_hash);
    store_relaxed(&header->depth, config->depth);
    store_relaxed(&header->slots, geometry->slots);
    store_relaxed(&header->chunks, geometry->chunks);
    store_relaxed(&header->stride, geometry->stride);
    store_relaxed(&header->capacity, config->capacity);
    store_relaxed(&header->rows, config->rows);
    store_relaxed(&header->pins, config->pins);
    store_relaxed(&header->loans, config->loans);
    store_relaxed(&header->first_seq, config->first_seq);
    store_relaxed(&header->off_ring, (uint64_t)RING_OFFSET);
    store_relaxed(&header->off_pool, geometry->off_pool);
    store_relaxed(&header->mode, config->mode);
    store_relaxed(&header->flags, config->flags);
    write_identity(header);
}

static void write_ctrl_header(const struct geometry *geometry, struct ctrl_header *header)
{
    store_relaxed(&header->magic, CTRL_MAGIC);
    store_relaxed(&header->layout_hash, peppy_layout_hash());
    store_relaxed(&header->epoch_hi, geometry->config.epoch_hi);
    store_relaxed(&header->epoch_lo, geometry->config.epoch_lo);
    store_relaxed(&header->generation, geometry->config.generation);
    store_relaxed(&header->rows, geometry->config.rows);
    store_relaxed(&header->pins, geometry->config.pins);
}

#define PIECE (1u << 20) /* an interrupted fallocate undoes its piece: only short ones get done under signals */

/* Memory for a range of the file: an error code now instead of SIGBUS at the first touch. */
int segment_allocate(int fd, uint64_t first, uint64_t end)
{
    for (uint64_t at = first; at < end; at += PIECE) {
        uint64_t piece = end - at < PIECE ? end - at : PIECE;
        while (fallocate(fd, 0, (off_t)at, (off_t)piece)) {
            if (errno != EINTR)
                return -errno;
        }
    }
    return 0;
}

static int fill_and_seal(const struct geometry *geometry, struct mapping *mapping, int data_fd, int ctrl_fd)
{
    int result = map(data_fd, geometry->data_size, PROT_READ | PROT_WRITE, &mapping->data);
    if (!result)
        result = map(ctrl_fd, geometry->ctrl_size, PROT_READ | PROT_WRITE, &mapping->ctrl);
    if (result)
        return result;
    result = segment_allocate(data_fd, 0, geometry->off_pool);
    if (!result)
        result = segment_allocate(ctrl_fd, 0, geometry->ctrl_size);
    if (result)
        return result;
    write_ctrl_header(geometry, ctrl_of(mapping));
    struct data_header *header = (struct data_header *)mapping->data;
    write_data_header(geometry, header);
    store_relaxed(&hot_of(mapping)->head, geometry->config.first_seq - 1);
    if (fcntl(data_fd, F_ADD_SEALS, DATA_SEALS) || fcntl(ctrl_fd, F_ADD_SEALS, CTRL_SEALS))
        return -errno;
    store_release(&header->ready, 1); /* SYNC attach (writer half) */
    return 0;
}

int segment_create(const struct geometry *geometry, struct mapping *mapping, int *data_fd, int *ctrl_fd)
{
    *mapping = (struct mapping){.data_size = geometry->data_size, .ctrl_size = geometry->ctrl_size};
    *data_fd = memfd("peppy-data", geometry->data_size);
    if (*data_fd < 0)
        return *data_fd;
    *ctrl_fd = memfd("peppy-ctrl", geometry->ctrl_size);
    int result = *ctrl_fd < 0 ? *ctrl_fd : fill_and_seal(geometry, mapping, *data_fd, *ctrl_fd);
    if (!result)
        return 0;
    segment_unmap(mapping);
    close(*data_fd);
    if (*ctrl_fd >= 0)
        close(*ctrl_fd);
    return result;
}

/* --- attaching: shared memory is a stranger ----------------------------------------------------------------------- */

static int check_file(int fd, uint64_t least, int seals, uint64_t *size)
{
    struct stat status;
    if (fstat(fd, &status))
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -ENXIO;
    if ((uint64_t)status.st_size < least)
        return -ENODATA;
    int present = fcntl(fd, F_GET_SEALS);
    if (present < 0 || (present & seals) != seals)
        return -EPERM;
    *size = (uint64_t)status.st_size;
    return 0;
}

static int check_identity(const struct data_header *data)
{
    if (load_relaxed(&data->magic) != DATA_MAGIC)
        return -EBADMSG;
    if (load_acquire(&data->ready) != 1) /* SYNC attach (reader half) */
        return -EINPROGRESS;
    if (load_relaxed(&data->abi_major) != ABI_MAJOR)
        return -EPROTONOSUPPORT;
    if (load_relaxed(&data->layout_hash) != peppy_layout_hash())
        return -EPROTO;
    return 0;
}

static void copy_config(const struct data_header *data, struct peppy_config *config)
{
    *config = (struct peppy_config){
        .epoch_hi = load_relaxed(&data->epoch_hi),
        .epoch_lo = load_relaxed(&data->epoch_lo),
        .generation = load_relaxed(&data->generation),
        .topic_hash = load_relaxed(&data->topic_hash),
        .schema_hash = load_relaxed(&data->schema_hash),
        .first_seq = load_relaxed(&data->first_seq),
        .capacity = load_relaxed(&data->capacity),
        .depth = load_relaxed(&data->depth),
        .rows = load_relaxed(&data->rows),
        .pins = load_relaxed(&data->pins),
        .loans = load_relaxed(&data->loans),
        .mode = load_relaxed(&data->mode),
        .flags = load_relaxed(&data->flags),
    };
}

static int check_ctrl(const struct ctrl_header *ctrl, const struct peppy_config *config)
{
    if (load_relaxed(&ctrl->magic) != CTRL_MAGIC)
        return -EBADMSG;
    if (load_relaxed(&ctrl->layout_hash) != peppy_layout_hash())
        return -EPROTO;
    if (load_relaxed(&ctrl->epoch_hi) != config->epoch_hi || load_relaxed(&ctrl->epoch_lo) != config->epoch_lo ||
        load_relaxed(&ctrl->generation) != config->generation || load_relaxed(&ctrl->rows) != config->rows ||
        load_relaxed(&ctrl->pins) != config->pins)
        return -EXDEV;
    return 0;
}

static int check_geometry(const struct data_header *data, struct geometry *geometry, const struct mapping *mapping)
{
    geometry->slots = load_relaxed(&data->slots);
    geometry->chunks = load_relaxed(&data->chunks);
    geometry->stride = load_relaxed(&data->stride);
    int result = geometry_check(geometry);
    if (result)
        return result;
    if (load_relaxed(&data->off_ring) != RING_OFFSET || load_relaxed(&data->off_pool) != geometry->off_pool ||
        geometry->data_size > mapping->data_size || geometry->ctrl_size > mapping->ctrl_size)
        return -EFBIG;
    if (load_relaxed(&data->total_size) != mapping->data_size)
        return -EMSGSIZE;
    return 0;
}

static int check_segments(struct geometry *geometry, const struct mapping *mapping)
{
    const struct data_header *data = (const struct data_header *)mapping->data;
    int result = check_identity(data);
    if (result)
        return result;
    copy_config(data, &geometry->config);
    result = check_ctrl(ctrl_of(mapping), &geometry->config);
    if (result)
        return result;
    return check_geometry(data, geometry, mapping);
}

int segment_attach(int data_fd, int ctrl_fd, int ctrl_protection, struct geometry *geometry, struct mapping *mapping)
{
    *mapping = (struct mapping){0};
    int result = check_file(data_fd, RING_OFFSET, DATA_SEALS, &mapping->data_size);
    if (!result)
        result = check_file(ctrl_fd, ROWS_OFFSET, CTRL_SEALS, &mapping->ctrl_size);
    if (!result)
        result = map(data_fd, mapping->data_size, PROT_READ, &mapping->data);
    if (!result)
        result = map(ctrl_fd, mapping->ctrl_size, ctrl_protection, &mapping->ctrl);
    if (!result)
        result = check_segments(geometry, mapping);
    if (result)
        segment_unmap(mapping);
    return result;
}
