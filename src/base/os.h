/* What the operating system gives, in the few shapes that the library needs: memory of its own,
 * clocks, the identity of the process, small files of /proc.  No heap, no stdio; every function is
 * safe where malloc is not, and preserves errno unless it returns one. */
#ifndef BASE_OS_H
#define BASE_OS_H

#include "base/machine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* CLOCK_MONOTONIC, nanoseconds.  Async-signal-safe. */
int64_t os_now_ns(void);
/* As os_now_ns, to the last timer tick (1-10 ms), in a few nanoseconds. */
int64_t os_coarse_ns(void);
int64_t os_realtime_ns(void);
/* CPU time of the calling thread; of the process. */
int64_t os_thread_cpu_ns(void);
int64_t os_process_cpu_ns(void);

/* The kernel's version as LINUX_VERSION_CODE has it, of the note in its vDSO: no call is made.  0:
 * it is not told. */
unsigned os_linux_version(void);
int os_gettid(void);
/* CPUs that this process may run on, at least 1. */
unsigned os_cpu_count(void);
/* Field 22 of /proc/self/stat, 0 if it cannot be read. */
uint64_t os_start_ticks(void);
/* Reads a small file whole into `buf` and terminates it; bytes read, or -errno. */
long os_read_file(const char *path, char *buf, size_t size);
/* Opens a file to append to, 0600 if it is made, without waiting; a descriptor, or -1 with errno.
 * Follows a symbolic link, but none that another user has put where everybody may. */
int os_open_append(const char *path);
/* Path of the executable into `buf`, terminated; false: "" (no /proc). */
bool os_executable(char *buf, size_t size);

/* The name the program was started by: the base name of what was given to exec, where that is the
 * executable (a symbolic link to it: redis-server, python3), else of the executable (a script).
 * Truncated to `size`. */
void os_program_name(char *buf, size_t size);

static inline size_t os_page_up(size_t size)
{
    return (size + OS_PAGE - 1) & ~(size_t)(OS_PAGE - 1);
}

/* mmap, munmap and mremap as the system has them.  The names themselves are the program's here:
 * what they map is recorded (malloc/mmap.h).  They set errno. */
void *os_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
int os_munmap(void *addr, size_t size);
void *os_mremap(void *old, size_t old_size, size_t size, int flags, ...);

/* Memory of the library's own: anonymous, zeroed, page-granular, never from the watched heap.  Its
 * ranges are on record, so that the tracer does not take them for roots and they are counted as
 * ours.  NULL: refused by the system. */
void *own_map(size_t size);
/* The same for a mapping of another kind, anonymous too (`flags` beside MAP_ANONYMOUS), that counts
 * for `resident` bytes.  It is given back by own_forget and os_munmap, and own_count of minus
 * `resident`. */
void *own_map_as(size_t size, int prot, int flags, size_t resident);
/* Puts a range mapped by other means on record (a file, a reservation); `resident` is what it
 * counts for.  False: no memory for one more entry, so it must not be used. */
__attribute__((warn_unused_result)) bool own_note(void *addr, size_t size, size_t resident);
/* Unmaps and takes off the record. */
void own_unmap(void *addr, size_t size);
/* Takes the range that begins there off the record, if it is on it. */
void own_forget(void *addr, size_t size);
/* Adds to what counts as ours (negative: takes off). */
void own_count(int64_t bytes);
uint64_t own_bytes(void);

/* Whether the eight aligned bytes around it can be read, now.  Async-signal-safe. */
bool os_can_read(uintptr_t address);

struct own_range {
    uintptr_t start;
    size_t size; /* no end: that may be the address of the heap's first block, which the record,
                    where it lies among a program's data, would keep alive */
};
#define OWN_BLOCK 204
/* Copies the record, in no order, beside threads that change it: each entry as it was at some
 * moment of this call.  Takes no lock, and may be called in a stop.  Returns how many there are; of
 * more than `room` the rest is not copied. */
unsigned own_ranges(struct own_range *to, unsigned room);

/* True on a thread of ours, or while a thread of the program does our work (a dump at exit): its
 * allocations are not sampled and not in the object map. */
extern _Thread_local bool own_thread __attribute__((tls_model("initial-exec")));
/* Threads of ours, by their ids.  The stop leaves them out. */
void own_thread_enter(int tid);
void own_thread_leave(int tid);
bool own_thread_is(int tid);
unsigned own_thread_count(void);
/* In a forked copy, which has none of them. */
void own_threads_postfork_child(void);

#endif
