/* Segments: planned by the rules, created sealed, and never believed: each attach check has its own errno. */
#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "claims.h"

#define DATA_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | 0x10)
#define CTRL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* The Makefile links this program with --wrap, so that the system can be made to refuse. */
int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);
int __real_fallocate(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length);
static bool old_kernel;
static int refuse_after = -1, interruptions, largest_piece;

int __wrap_memfd_create(const char *name, unsigned flags)
{
    if (old_kernel && (flags & 0x8u)) {
        errno = EINVAL;
        return -1;
    }
    return __real_memfd_create(name, flags);
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t length)
{
    if (length > largest_piece)
        largest_piece = (int)length;
    if (interruptions > 0) {
        interruptions--;
        errno = EINTR;
        return -1;
    }
    if (refuse_after == 0) {
        errno = ENOSPC;
        return -1;
    }
    if (refuse_after > 0)
        refuse_after--;
    return __real_fallocate(fd, mode, offset, length);
}

/* --- forging: copies of a real stream's files, changed and sealed anew -------------------------------------------- */

struct forgery {
    int data_fd, ctrl_fd;
    struct data_header *data;
    struct ctrl_header *ctrl;
    uint64_t data_size, ctrl_size;
};

static uint8_t *copy_file(int source, uint64_t size, int *copy)
{
    *copy = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(*copy >= 0 && ftruncate(*copy, (off_t)size) == 0);
    uint8_t *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *copy, 0);
    CHECK(mapped != MAP_FAILED);
    CHECK_EQUAL(pread(source, mapped, size, 0), size);
    return mapped;
}

static struct forgery forge(struct peppy_writer *writer)
{
    struct forgery forgery = {.data_size = writer->mapping.data_size, .ctrl_size = writer->mapping.ctrl_size};
    forgery.data = (struct data_header *)copy_file(writer->data_fd, forgery.data_size, &forgery.data_fd);
    forgery.ctrl = (struct ctrl_header *)copy_file(writer->ctrl_fd, forgery.ctrl_size, &forgery.ctrl_fd);
    return forgery;
}

static int attach_forgery(struct forgery *forgery, int data_seals, int ctrl_seals)
{
    struct peppy_observer *observer;
    CHECK_EQUAL(fcntl(forgery->data_fd, F_ADD_SEALS, data_seals), 0);
    CHECK_EQUAL(fcntl(forgery->ctrl_fd, F_ADD_SEALS, ctrl_seals), 0);
    int result = peppy_observer_open(forgery->data_fd, forgery->ctrl_fd, &observer);
    if (!result)
        peppy_observer_close(observer);
    munmap(forgery->data, forgery->data_size);
    munmap(forgery->ctrl, forgery->ctrl_size);
    close(forgery->data_fd);
    close(forgery->ctrl_fd);
    return result;
}

#define FORGED(wanted, change)                                                   \
    do {                                                                         \
        struct forgery forged = forge(writer);                                   \
        change;                                                                  \
        CHECK_EQUAL(attach_forgery(&forged, DATA_SEALS, CTRL_SEALS), (wanted));  \
    } while (0)

static void a_faithful_copy_is_accepted(void)
{
    struct peppy_writer *writer = stream_create(100, 8, 4, 2, 1);
    FORGED(0, (void)0);
    peppy_writer_free(writer);
}

static void each_forged_identity_has_its_errno(void)
{
    struct peppy_writer *writer = stream_create(100, 8, 4, 2, 1);
    FORGED(-EBADMSG, store_relaxed(&forged.data->magic, 1));
    FORGED(-EBADMSG, store_relaxed(&forged.ctrl->magic, 1));
    FORGED(-EINPROGRESS, store_relaxed(&forged.data->ready, 0));
    FORGED(-EPROTONOSUPPORT, store_relaxed(&forged.data->abi_major, ABI_MAJOR + 1));
    FORGED(-EPROTO, store_relaxed(&forged.data->layout_hash, 1));
    FORGED(-EPROTO, store_relaxed(&forged.ctrl->layout_hash, 1));
    FORGED(-EXDEV, store_relaxed(&forged.ctrl->epoch_hi, 1));
    FORGED(-EXDEV, store_relaxed(&forged.ctrl->epoch_lo, 1));
    FORGED(-EXDEV, store_relaxed(&forged.ctrl->generation, 2));
    FORGED(-EXDEV, store_relaxed(&forged.ctrl->rows, 5));
    FORGED(-EXDEV, store_relaxed(&forged.ctrl->pins, 3));
    peppy_writer_free(writer);
}

static void each_forged_geometry_has_its_errno(void)
{
    struct peppy_writer *writer = stream_create(100, 8, 4, 2, 1);
    FORGED(-EDOM, store_relaxed(&forged.data->slots, 12)); /* no power of two */
    FORGED(-EDOM, store_relaxed(&forged.data->slots, 4));  /* fewer than depth */
    FORGED(-EDOM, store_relaxed(&forged.data->slots, 0));
    FORGED(-EDOM, store_relaxed(&forged.data->depth, 3));
    FORGED(-EDOM, store_relaxed(&forged.data->depth, 1u << 30));
    FORGED(-EDOM, store_relaxed(&forged.data->stride, 128)); /* header and capacity do not fit */
    FORGED(-EDOM, store_relaxed(&forged.data->stride, 200)); /* payloads out of line */
    FORGED(-ERANGE, {
        store_relaxed(&forged.data->rows, 65);
        store_relaxed(&forged.ctrl->rows, 65);
    });
    FORGED(-ERANGE, {
        store_relaxed(&forged.data->pins, 9);
        store_relaxed(&forged.ctrl->pins, 9);
    });
    FORGED(-ERANGE, store_relaxed(&forged.data->capacity, 1ull << 63));
    FORGED(-ERANGE, store_relaxed(&forged.data->loans, ~0u));
    FORGED(-ENOBUFS, store_relaxed(&forged.data->chunks, 17));
    FORGED(-ENOBUFS, store_relaxed(&forged.data->chunks, MAX_CHUNKS + 1));
    FORGED(-EOVERFLOW, store_relaxed(&forged.data->stride, 1ull << 62)); /* times 18 chunks wraps round */
    FORGED(-EFBIG, store_relaxed(&forged.data->chunks, 1000));
    FORGED(-EFBIG, store_relaxed(&forged.data->stride, 4096));
    FORGED(-EFBIG, store_relaxed(&forged.data->off_ring, 0x1000));
    FORGED(-EFBIG, store_relaxed(&forged.data->off_pool, 0x1000));
    FORGED(-EFBIG, { /* rows beyond the end of CTRL */
        store_relaxed(&forged.data->rows, 64);
        store_relaxed(&forged.ctrl->rows, 64);
        store_relaxed(&forged.data->chunks, 8 + 64 * 2 + 1 + 1);
        store_relaxed(&forged.data->stride, 192);
    });
    FORGED(-EMSGSIZE, store_relaxed(&forged.data->total_size, 1));
    peppy_writer_free(writer);
}

static void each_missing_seal_is_refused_before_mapping(void)
{
    struct peppy_writer *writer = stream_create(100, 8, 4, 2, 1);
    const int data_seals[] = {0x10, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL};
    for (int i = 0; i < 4; i++) {
        struct forgery forged = forge(writer);
        CHECK_EQUAL(attach_forgery(&forged, DATA_SEALS & ~data_seals[i], CTRL_SEALS), -EPERM);
    }
    for (int i = 1; i < 4; i++) {
        struct forgery forged = forge(writer);
        CHECK_EQUAL(attach_forgery(&forged, DATA_SEALS, CTRL_SEALS & ~data_seals[i]), -EPERM);
    }
    peppy_writer_free(writer);
}

static void what_is_no_file_is_refused(void)
{
    struct peppy_writer *writer = stream_create(100, 8, 4, 2, 1);
    struct peppy_observer *observer;
    int ends[2], empty = memfd_create("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK_EQUAL(pipe(ends), 0);
    CHECK_EQUAL(peppy_observer_open(ends[0], writer->ctrl_fd, &observer), -ENXIO);
    CHECK_EQUAL(peppy_observer_open(writer->data_fd, ends[0], &observer), -ENXIO);
    CHECK_EQUAL(peppy_observer_open(empty, writer->ctrl_fd, &observer), -ENODATA);
    CHECK_EQUAL(peppy_observer_open(writer->data_fd, empty, &observer), -ENODATA);
    CHECK_EQUAL(peppy_observer_open(-1, writer->ctrl_fd, &observer), -EBADF);
    CHECK_EQUAL(peppy_observer_open(writer->data_fd, -1, &observer), -EBADF);
    close(ends[0]);
    close(ends[1]);
    close(empty);
    peppy_writer_free(writer);
}

static void a_refused_attach_leaves_nothing_behind(void)
{
    struct peppy_writer *writer = stream_create(100, 8, 4, 2, 1);
    struct peppy_claim claim = stream_reserve(writer, -1, PEPPY_HISTORY_NONE);
    struct peppy_reader *reader;
    uint32_t descriptors = open_descriptors(), mappings = stream_mappings();
    claim.ticket++;
    for (int i = 0; i < 10; i++)
        CHECK_EQUAL(peppy_reader_open(writer->data_fd, writer->ctrl_fd, &claim, 0, &reader), -ESTALE);
    CHECK_EQUAL(open_descriptors(), descriptors);
    CHECK_EQUAL(stream_mappings(), mappings);
    peppy_writer_free(writer);
}

static void nobody_else_gets_a_writable_mapping_of_the_data(void)
{
    struct peppy_writer *writer = stream_create(100, 8, 4, 2, 1);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", writer->data_fd);
    int reopened = open(path, O_RDWR | O_CLOEXEC);
    CHECK(reopened >= 0);
    CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, reopened, 0) == MAP_FAILED);
    CHECK_EQUAL(errno, EPERM);
    CHECK_EQUAL(pwrite(reopened, "x", 1, 0), -1);
    CHECK_EQUAL(ftruncate(reopened, 0), -1);
    void *mapped = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, reopened, 0);
    CHECK(mapped != MAP_FAILED);
    CHECK_EQUAL(mprotect(mapped, PAGE, PROT_READ | PROT_WRITE), -1);
    munmap(mapped, PAGE);
    close(reopened);
    peppy_writer_free(writer);
}

/* --- planning ----------------------------------------------------------------------------------------------------- */

static void the_geometry_follows_the_rules(void)
{
    struct geometry geometry;
    struct peppy_config config = stream_config(8u << 20, 6, 64, 2, 4); /* the example of ring.md, Memory */
    CHECK_EQUAL(geometry_plan(&config, &geometry), 0);
    CHECK_EQUAL(geometry.stride, (8u << 20) + 4096);
    CHECK_EQUAL(geometry.chunks, 139);
    CHECK_EQUAL(geometry.slots, 8);
    config = stream_config(100, 128, 64, 8, 4);
    CHECK_EQUAL(geometry_plan(&config, &geometry), 0);
    CHECK_EQUAL(geometry.config.capacity, 128);
    CHECK_EQUAL(geometry.stride, 192);
    CHECK_EQUAL(geometry.slots, 128);
    config = stream_config(5000, 128, 64, 8, 4);
    CHECK_EQUAL(geometry_plan(&config, &geometry), 0);
    CHECK_EQUAL(geometry.config.capacity, 8192);
    CHECK_EQUAL(geometry.stride, 8192 + 4096);
}

static void impossible_configurations_are_refused(void)
{
    struct peppy_writer *writer;
    struct peppy_config config;
#define REFUSED(wanted, change)                                          \
    do {                                                                 \
        config = stream_config(100, 8, 4, 2, 1);                         \
        change;                                                          \
        CHECK_EQUAL(peppy_writer_create(&config, &writer), (wanted));    \
    } while (0)
    REFUSED(-EDOM, config.depth = 3);
    REFUSED(-EDOM, config.depth = PEPPY_MAX_DEPTH + 1);
    REFUSED(-ERANGE, config.rows = 0);
    REFUSED(-ERANGE, config.rows = 65);
    REFUSED(-ERANGE, config.pins = 1);
    REFUSED(-ERANGE, config.pins = 9);
    REFUSED(-ERANGE, config.capacity = ~0ull);
    REFUSED(-ENOBUFS, config.loans = MAX_CHUNKS);
    REFUSED(-EINVAL, config.first_seq = 0);
    REFUSED(-EINVAL, config.generation = 0);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static uint64_t resident(int fd)
{
    struct stat status;
    CHECK_EQUAL(fstat(fd, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

static void only_what_is_used_has_memory(void)
{
    const uint64_t capacity = 1u << 20;
    struct peppy_writer *writer = stream_create(capacity, 6, 64, 2, 4);
    uint8_t *payload = calloc(1, capacity);
    CHECK(resident(writer->data_fd) <= 4 * PAGE);
    for (int i = 0; i < 30; i++)
        CHECK_EQUAL(peppy_publish(writer, payload, 100, NULL), 0);
    CHECK(resident(writer->data_fd) <= 16 * PAGE); /* small messages use a page of their large chunks */
    for (int i = 0; i < 30; i++)
        CHECK_EQUAL(peppy_publish(writer, payload, capacity, NULL), 0);
    CHECK(resident(writer->data_fd) <= 7 * (capacity + PAGE) + 4 * PAGE); /* depth + 1, and no spare at this size */
    check_writer(writer);
    free(payload);
    peppy_writer_free(writer);
}

static void refused_memory_is_an_error_and_the_stream_goes_on(void)
{
    const uint64_t capacity = 3u << 20;
    struct peppy_writer *writer = stream_create(capacity, 4, 2, 2, 1);
    struct peppy_reader *reader = stream_attach(writer, PEPPY_HISTORY_NONE, PEPPY_LAPPED_OLDEST);
    struct peppy_message message;
    uint8_t *payload = calloc(1, capacity);
    CHECK_EQUAL(peppy_publish(writer, payload, capacity, NULL), 0);
    for (int allowed = 0; allowed < 3; allowed++) {
        refuse_after = allowed; /* the second and third piece of one chunk may be what is refused */
        CHECK_EQUAL(peppy_publish(writer, payload, capacity, NULL), -ENOSPC);
        check_writer(writer);
    }
    refuse_after = -1;
    CHECK_EQUAL(peppy_publish(writer, payload, capacity, NULL), 0);
    for (uint64_t seq = 1; seq <= 2; seq++) {
        CHECK_EQUAL(peppy_take(reader, &message), PEPPY_OK);
        CHECK_EQUAL(message.sequence, seq);
        CHECK_EQUAL(peppy_unpin(reader, message.pin, message.data), 0);
    }
    free(payload);
    peppy_reader_close(reader);
    peppy_writer_free(writer);
}

static void memory_comes_in_pieces_and_signals_do_not_stop_it(void)
{
    const uint64_t capacity = 5u << 20;
    struct peppy_writer *writer = stream_create(capacity, 4, 2, 2, 1);
    uint8_t *payload = calloc(1, capacity);
    largest_piece = 0;
    interruptions = 7;
    CHECK_EQUAL(peppy_publish(writer, payload, capacity, NULL), 0);
    CHECK_EQUAL(interruptions, 0);
    CHECK_EQUAL(largest_piece, 1 << 20);
    free(payload);
    peppy_writer_free(writer);
}

static void a_kernel_without_noexec_seals_serves_too(void)
{
    old_kernel = true;
    struct peppy_writer *writer = stream_create(100, 8, 4, 2, 1);
    old_kernel = false;
    CHECK_EQUAL(publish_number(writer, 1), 0);
    peppy_writer_free(writer);
}

static void a_refused_creation_leaves_nothing_behind(void)
{
    struct peppy_config config = stream_config(100, 8, 4, 2, 1);
    struct peppy_writer *writer;
    uint32_t descriptors = open_descriptors(), mappings = stream_mappings();
    for (int allowed = 0; allowed < 2; allowed++) {
        refuse_after = allowed;
        CHECK_EQUAL(peppy_writer_create(&config, &writer), -ENOSPC);
    }
    refuse_after = -1;
    CHECK_EQUAL(open_descriptors(), descriptors);
    CHECK_EQUAL(stream_mappings(), mappings);
}

static void ten_thousand_streams_come_and_go_without_a_trace(void)
{
    uint32_t descriptors = open_descriptors(), mappings = stream_mappings();
    for (int i = 0; i < 10000; i++) {
        struct peppy_writer *writer = stream_create(64, 4, 1, 2, 1);
        CHECK_EQUAL(publish_number(writer, 1), 0);
        peppy_writer_free(writer);
    }
    CHECK_EQUAL(open_descriptors(), descriptors);
    CHECK_EQUAL(stream_mappings(), mappings);
}

RUN_CLAIMS(CLAIM(a_faithful_copy_is_accepted), CLAIM(each_forged_identity_has_its_errno),
           CLAIM(each_forged_geometry_has_its_errno), CLAIM(each_missing_seal_is_refused_before_mapping),
           CLAIM(what_is_no_file_is_refused), CLAIM(a_refused_attach_leaves_nothing_behind),
           CLAIM(nobody_else_gets_a_writable_mapping_of_the_data), CLAIM(the_geometry_follows_the_rules),
           CLAIM(impossible_configurations_are_refused), CLAIM(only_what_is_used_has_memory),
           CLAIM(refused_memory_is_an_error_and_the_stream_goes_on),
           CLAIM(memory_comes_in_pieces_and_signals_do_not_stop_it), CLAIM(a_kernel_without_noexec_seals_serves_too),
           CLAIM(a_refused_creation_leaves_nothing_behind), CLAIM(ten_thousand_streams_come_and_go_without_a_trace))
