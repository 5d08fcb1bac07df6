#pragma once
/*
 * The memory model of the stream core, all of it. No other file names an atomic or a memory order.
 *
 * There are no stand-alone fences: every edge is a pair of accesses to one word, so ThreadSanitizer and the explorers
 * in tests/ see each of them. The edges, and where both ends stand (the same tag is at the code):
 *
 *   SYNC ready   writer P5  e.seq = seq, release         -> reader T3  e.seq, acquire
 *                The payload, the chunk header and the descriptor of a message are complete when its number shows.
 *   SYNC reuse   writer P3  e.seq = 0, then scan of pins -> reader T6  pin = chunk + 1, then T7 e.seq
 *                Two words, store then load on both sides, all seq_cst (Dekker): the writer sees the pin or the reader
 *                sees that the message is gone. Never neither.
 *   SYNC unpin   reader     pin = 0, release             -> writer scan of pins, seq_cst
 *                The last read of a view comes before the first write of the chunk's next message.
 *   SYNC sleep   reader     fetch_or(armed, bit)         -> writer P8  exchange(armed, 0)
 *                Read-modify-writes of one word are totally ordered: the writer sees the bit and rings, or the reader's
 *                second look, which comes after, sees the message.
 *   SYNC space   reader     cursor = next, seq_cst       -> reader wants_space, seq_cst
 *                writer     wants_space = 1, seq_cst     -> writer cursors, seq_cst
 *                Two words, store then load on both sides (Dekker): the writer sees the cursor or the reader sees that
 *                space is wanted. Never neither. Of several readers the exchange(wants_space, 0) chooses one to ring.
 *   SYNC end     writer     closed_seq, release          -> reader closed_seq, acquire
 *                Status and last message are complete when the end shows.
 *   SYNC claim   writer     ticket, release              -> reader ticket, acquire; then reader state = LIVE, release
 *                A row is empty when its ticket shows, and its reader's when it is LIVE. The lease decides, not these.
 *   SYNC attach  writer     ready, release               -> everybody ready, acquire
 *                The header is complete when `ready` shows, and immutable from then on.
 *
 * Relaxed accesses are counters and diagnostics, which order nothing, and words that only one side writes and reads.
 */
#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t word64;
typedef _Atomic uint32_t word32;
typedef _Atomic uint16_t word16;

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_LONG_LOCK_FREE == 2, "64-bit words are shared between processes");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_SHORT_LOCK_FREE == 2, "so are the shorter ones");
_Static_assert(sizeof(word64) == 8 && sizeof(word32) == 4 && sizeof(word16) == 2, "and none carries a hidden lock");

#define load_relaxed(place) atomic_load_explicit((place), memory_order_relaxed)
#define load_acquire(place) atomic_load_explicit((place), memory_order_acquire)
#define load_ordered(place) atomic_load_explicit((place), memory_order_seq_cst)

#define store_relaxed(place, value) atomic_store_explicit((place), (value), memory_order_relaxed)
#define store_release(place, value) atomic_store_explicit((place), (value), memory_order_release)
#define store_ordered(place, value) atomic_store_explicit((place), (value), memory_order_seq_cst)

#define exchange_both(place, value) atomic_exchange_explicit((place), (value), memory_order_acq_rel)
#define set_bits_both(place, bits) atomic_fetch_or_explicit((place), (bits), memory_order_acq_rel)
