#pragma once
/*
 * The two segments of a stream generation, byte by byte. Little endian, 64-bit; every field that can change, or that a
 * stranger could have written, is a word that is loaded once, checked, and then used from a local copy.
 *
 * DATA: written by the producer alone, mapped PROT_READ by everybody else (sealed F_SEAL_FUTURE_WRITE).
 *
 *   0x0000  header page       who wrote it and how big everything is; immutable once `ready` is 1
 *   0x1000  hot page          what the writer changes with each message, one group per two cache lines
 *   0x2000  ring              `slots` descriptors of 64 bytes
 *   pool    page aligned      `chunks` times `stride` bytes; chunk = 64 bytes of header, then the payload
 *
 * CTRL: mapped read-write by every participant. All of it is hostile to everybody.
 *
 *   0x0000  identity          must equal DATA's
 *   0x0080  armed             bit r = row r sleeps, ring its doorbell
 *   0x0100  wants_space       a reliable writer waits: who makes room rings its eventfd
 *   0x0180  rows              128 bytes each, one per reader
 *
 * A descriptor slot holds message n if and only if its seq is n and n & (slots - 1) is its index. A message is held if
 * and only if its number is among the last `depth` published. A chunk may be written if and only if no held descriptor
 * names it, no pin that was validated names it, and no write loan holds it.
 *
 * Byte locks (OFD) on the CTRL file: byte 0 is the writer's lease, byte 1 + r the lease of row r's reader.
 */
#include <stddef.h>

#include "order.h"

#define PAGE 4096u
#define LINE 64u
#define ABI_MAJOR 1u
#define ABI_MINOR 0u
#define DATA_MAGIC 0x31474e4952504550ull /* "PEPRING1" */
#define CTRL_MAGIC 0x314c525443504550ull /* "PEPCTRL1" */
#define MAX_CHUNKS (1u << 20)
#define MAX_CAPACITY (1ull << 40)

_Static_assert(sizeof(void *) == 8 && sizeof(size_t) == 8, "64-bit only: offsets and lengths are 64 bits wide");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "and little endian");

#define AT(type, field, offset) _Static_assert(offsetof(struct type, field) == (offset), #type "." #field)
#define SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type)

/*
 *        0               4               8               c
 *  0x00 | magic                         | abi_major     | abi_minor     |
 *  0x10 | layout_hash                   | total_size                    |
 *  0x20 | epoch_hi                      | epoch_lo                      |
 *  0x30 | generation                    | topic_hash                    |
 *  0x40 | schema_hash                   | depth         | slots         |
 *  0x50 | chunks        | 0             | stride                        |
 *  0x60 | capacity                      | rows          | pins          |
 *  0x70 | loans         | 0             | first_seq                     |
 *  0x80 | off_ring                      | off_pool                      |
 *  0x90 | mode          | flags         | boot_id                       |
 *  0xa0 |                               | writer_start                  |
 *  0xb0 | writer_pid    | ready         |
 */
struct data_header {
    word64 magic;
    word32 abi_major, abi_minor;
    word64 layout_hash;
    word64 total_size; /* of the file */
    word64 epoch_hi, epoch_lo;
    word64 generation;
    word64 topic_hash, schema_hash;
    word32 depth, slots; /* messages held; descriptors: the next power of two */
    word32 chunks, unused_chunks;
    word64 stride, capacity;
    word32 rows, pins;
    word32 loans, unused_loans;
    word64 first_seq;
    word64 off_ring, off_pool;
    word32 mode, flags;
    word64 boot_id[2];   /* these three for people only: pids are reused, leases are not */
    word64 writer_start; /* clock ticks after boot, field 22 of /proc/pid/stat */
    word32 writer_pid;
    word32 ready;
};
AT(data_header, magic, 0x00);
AT(data_header, abi_major, 0x08);
AT(data_header, abi_minor, 0x0c);
AT(data_header, layout_hash, 0x10);
AT(data_header, total_size, 0x18);
AT(data_header, epoch_hi, 0x20);
AT(data_header, epoch_lo, 0x28);
AT(data_header, generation, 0x30);
AT(data_header, topic_hash, 0x38);
AT(data_header, schema_hash, 0x40);
AT(data_header, depth, 0x48);
AT(data_header, slots, 0x4c);
AT(data_header, chunks, 0x50);
AT(data_header, unused_chunks, 0x54);
AT(data_header, stride, 0x58);
AT(data_header, capacity, 0x60);
AT(data_header, rows, 0x68);
AT(data_header, pins, 0x6c);
AT(data_header, loans, 0x70);
AT(data_header, unused_loans, 0x74);
AT(data_header, first_seq, 0x78);
AT(data_header, off_ring, 0x80);
AT(data_header, off_pool, 0x88);
AT(data_header, mode, 0x90);
AT(data_header, flags, 0x94);
AT(data_header, boot_id, 0x98);
AT(data_header, writer_start, 0xa8);
AT(data_header, writer_pid, 0xb0);
AT(data_header, ready, 0xb4);
SIZE(data_header, 0xb8);

/*
 *  0x1000 | head          |  last published sequence: a hint, descriptors are the truth
 *  0x1080 | closed_status | closed_seq      |  last sequence + 1, 0 = open
 *  0x1090 | moved_last    | moved_generation|  0 = this is the newest generation
 *  0x1100 | published     | bytes           |  counters
 *  0x1110 | no_chunk      | doorbells       |
 *  0x1120 | scans         | reclaimed_rows  |
 *  0x1130 | max_length    | last_publish_ns |
 */
struct hot_page {
    word64 head;
    uint8_t unused_head[120];
    word64 closed_status, closed_seq;
    word64 moved_last_seq, moved_generation;
    uint8_t unused_end[96];
    word64 published, bytes;
    word64 no_chunk, doorbells;
    word64 scans, reclaimed_rows;
    word64 max_length, last_publish_ns;
};
AT(hot_page, head, 0x00);
AT(hot_page, unused_head, 0x08);
AT(hot_page, closed_status, 0x80);
AT(hot_page, closed_seq, 0x88);
AT(hot_page, moved_last_seq, 0x90);
AT(hot_page, moved_generation, 0x98);
AT(hot_page, unused_end, 0xa0);
AT(hot_page, published, 0x100);
AT(hot_page, bytes, 0x108);
AT(hot_page, no_chunk, 0x110);
AT(hot_page, doorbells, 0x118);
AT(hot_page, scans, 0x120);
AT(hot_page, reclaimed_rows, 0x128);
AT(hot_page, max_length, 0x130);
AT(hot_page, last_publish_ns, 0x138);
SIZE(hot_page, 0x140);
#define HOT_OFFSET 0x1000u

/*
 *  0x00 | seq                          | chunk (low 32), flags (high 32) |
 *  0x10 | length                       | publish_time_ns, CLOCK_MONOTONIC|
 *  0x20 | 0                                                              |
 *  0x30 |                                                                |
 */
struct descriptor {
    word64 seq;         /* 0 = being written */
    word64 chunk_flags; /* one word: both come from one load */
    word64 length;
    word64 publish_time_ns;
    word64 unused[4];
};
AT(descriptor, seq, 0x00);
AT(descriptor, chunk_flags, 0x08);
AT(descriptor, length, 0x10);
AT(descriptor, publish_time_ns, 0x18);
AT(descriptor, unused, 0x20);
SIZE(descriptor, LINE);
#define RING_OFFSET 0x2000u

/*
 *  0x00 | seq                          | length                          |
 *  0x10 | epoch_lo                     | canary                          |
 *  0x20 | 0                                                              |
 *  0x30 |                                                                |
 *  0x40 | payload ...
 */
struct chunk_header { /* plain: guarded by SYNC ready before and SYNC reuse after, like the payload */
    uint64_t seq, length, epoch_lo, canary;
    uint64_t unused[4];
};
AT(chunk_header, seq, 0x00);
AT(chunk_header, length, 0x08);
AT(chunk_header, epoch_lo, 0x10);
AT(chunk_header, canary, 0x18);
AT(chunk_header, unused, 0x20);
SIZE(chunk_header, LINE);

/*
 *  0x000 | magic                       | layout_hash                     |
 *  0x010 | epoch_hi                    | epoch_lo                        |
 *  0x020 | generation                  | rows           | pins           |
 *  0x080 | armed                       |
 *  0x100 | wants_space  |
 *  0x180 | row 0, row 1, ...
 */
struct ctrl_header {
    word64 magic, layout_hash;
    word64 epoch_hi, epoch_lo;
    word64 generation;
    word32 rows, pins;
    uint8_t unused_identity[80];
    word64 armed;
    uint8_t unused_armed[120];
    word32 wants_space;
    uint8_t unused_space[124];
};
AT(ctrl_header, magic, 0x000);
AT(ctrl_header, layout_hash, 0x008);
AT(ctrl_header, epoch_hi, 0x010);
AT(ctrl_header, epoch_lo, 0x018);
AT(ctrl_header, generation, 0x020);
AT(ctrl_header, rows, 0x028);
AT(ctrl_header, pins, 0x02c);
AT(ctrl_header, unused_identity, 0x030);
AT(ctrl_header, armed, 0x080);
AT(ctrl_header, unused_armed, 0x088);
AT(ctrl_header, wants_space, 0x100);
AT(ctrl_header, unused_space, 0x104);
SIZE(ctrl_header, 0x180);

/*
 *  0x00 | pin 0 | pin 1 | pin 2 | pin 3 |      line a: what the writer scans; chunk + 1, 0 = none
 *  0x10 | pin 4 | pin 5 | pin 6 | pin 7 |
 *  0x40 | ticket        | cursor        |      line b: written by the lease's holder, a free row's ticket by the writer
 *  0x50 | taken         | lost          |
 *  0x60 | skipped       | last_take_ns  |
 *  0x70 | state | copies| pid   |now|max|
 */
struct row {
    word32 pin[8];
    uint8_t unused_pins[32];
    word64 ticket, cursor;
    word64 taken, lost;
    word64 skipped, last_take_ns;
    word32 state, copies_forced;
    word32 pid;
    word16 held_now, held_max;
};
AT(row, pin, 0x00);
AT(row, unused_pins, 0x20);
AT(row, ticket, 0x40);
AT(row, cursor, 0x48);
AT(row, taken, 0x50);
AT(row, lost, 0x58);
AT(row, skipped, 0x60);
AT(row, last_take_ns, 0x68);
AT(row, state, 0x70);
AT(row, copies_forced, 0x74);
AT(row, pid, 0x78);
AT(row, held_now, 0x7c);
AT(row, held_max, 0x7e);
SIZE(row, 2 * LINE);
#define ROWS_OFFSET 0x180u
