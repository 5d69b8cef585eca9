/* The object map answers: does a block of the program's heap start at this address, and how large
 * is it?  One byte per 16-byte granule of address space: the size class at each block's start, 0
 * everywhere else.  malloc stores it after the block is had, free clears it before the block is
 * given up.  The map costs the hot path no more than that: plain stores by the thread that owns the
 * block, nothing atomic.  Everything a tracer needs (pages, starts of interior pointers, what is
 * live) is rebuilt from it.
 *
 * The map is 1/16 of the address space, reserved PROT_NONE, and opened where jemalloc maps memory
 * (object_map_open is called from jemalloc's own mmap): it costs memory only beside blocks, adds
 * nothing under mlockall and nothing under vm.overcommit_memory=2.
 *
 * Invariant: an address that lies in no block reads 0; a stopped thread may be between the block
 * and its byte, which hides a block that nobody but its registers knows.  Exists in the tracked
 * variant, and during a mark of the plain one, where it is filled from the allocator's own records
 * (gc/engine/allocated.h): object_map is NULL otherwise. */
#ifndef HEAP_OBJECT_MAP_H
#define HEAP_OBJECT_MAP_H

#include "base/machine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GRANULE_SHIFT 4
#define OBJECT_MAP_BYTES ((size_t)1 << (OS_ADDRESS_BITS - GRANULE_SHIFT))

/* A byte of the map: class in the low 7 bits, OBJECT_SAMPLED if the profiler holds a sample of the
 * block. */
#define OBJECT_SAMPLED 0x80u
#define OBJECT_CLASS 0x7fu
/* Blocks too large for a class of their own (above 64 GiB): ask jemalloc. */
#define OBJECT_CLASS_HUGE 127u

extern uint8_t *object_map;
/* Usable bytes of each class; 0 for class 0, unused ones and OBJECT_CLASS_HUGE. */
extern size_t object_class_size[128];
/* By (size + 15) / 16 up to OBJECT_TABLE_MAX bytes, jemalloc's largest small class: the class of a
 * block that so much is asked for; 0 until the classes are known. */
#define OBJECT_TABLE_MAX 14336u
extern uint8_t object_class_table[OBJECT_TABLE_MAX / 16 + 1];
/* Classes 1 to object_small_classes are slabs: equal objects side by side, the slab
 * object_slab_size[class] bytes = lcm(jemalloc's page, size), its start page-aligned. */
extern unsigned object_small_classes;
extern size_t object_slab_size[128];

/* Reserves the map.  False with a reason if the address space is not to be had. */
bool object_map_init(const char **reason);
/* Gives it back: nobody uses it any more. */
void object_map_end(void);
/* Learns the size classes: `sizes`, ascending, `count` of them, the first `small` with slabs of
 * `slab_sizes`. */
void object_map_set_classes(const size_t *sizes, unsigned count, const size_t *slab_sizes,
                            unsigned small);
/* Makes the map of [addr, addr + size) writable.  Called where jemalloc maps, before the memory is
 * handed out.  False: refused (the mapping must then be refused too). */
bool object_map_open(const void *addr, size_t size);

static inline uint8_t *object_byte(const void *block)
{
    return object_map + ((uintptr_t)block >> GRANULE_SHIFT);
}

/* Class of a block of so many bytes, those of a size class of jemalloc's (8 bytes count as 16).
 * Until the classes are known: none that has a size. */
unsigned object_class_of(size_t usable_size);

#endif
