/* Reading /proc without libc: in the pause, and in the snapshot child.  Files are opened relative
 * to a descriptor of /proc that the tracer thread keeps in a descriptor table of its own, so that
 * no number is ever taken from, or closed under, the program, and a chroot changes nothing. */
#ifndef GC_SYS_PROC_H
#define GC_SYS_PROC_H

#include "base/dirents.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the tracer thread, with `own_table`: gives it an empty descriptor table of its own first.
 * Opens /proc.  False: it cannot be used; proc_refusal says why. */
bool proc_open(bool own_table);
extern const char *proc_refusal;
/* Descriptor of /proc/self/NAME for whoever asks ("self" is the child in the child), or -errno. */
long proc_self_open(const char *name, int flags);
/* Reads /proc/self/NAME, at most size - 1 bytes, terminated.  Bytes, or -errno. */
long proc_self_read(const char *name, char *buf, size_t size);
/* Reads /proc/self/task/TID/NAME likewise. */
long proc_task_read(int tid, const char *name, char *buf, size_t size);
/* Where descriptor FD of this process leads, terminated and cut at size - 1 bytes; its bytes, or
 * -errno. */
long proc_descriptor_link(unsigned fd, char *path, size_t size);
/* The fdinfo of descriptor FD, as proc_self_read. */
long proc_descriptor_read(unsigned fd, char *buf, size_t size);

/* The numbers among the names of a directory: threads, descriptors. */
struct proc_numbers {
    long fd;   /* the directory, read from its start on */
    char *buf; /* for some of its entries at a time; DIRENTS_ALIGNED */
    size_t size;
    struct dirents left; /* in buf; empty at first */
};
/* The next one, in no order; -1: there are no more; less: they cannot be read. */
long proc_next_number(struct proc_numbers *numbers);

/* Bytes of the process's own memory that are resident: neither file nor shared (statm).  0: it
 * cannot be read. */
uint64_t proc_private_bytes(void);
/* Page faults of all its threads so far that needed no disk (stat). */
uint64_t proc_faults(void);
/* Number behind `key` ("Seccomp:") at a line's start in a status file, in this base; false: none.
 */
bool proc_field(const char *text, const char *key, int base, uint64_t *value);

/* One mapping of /proc/self/maps. */
struct proc_mapping {
    uintptr_t start, end;
    bool readable, writable, executable, shared;
    uint64_t offset;
    uint64_t inode;
    char path[128]; /* cut; "" if anonymous */
};
/* Calls `fn` for each mapping in order.  False: unreadable. */
bool proc_each_mapping(void (*fn)(void *ctx, const struct proc_mapping *mapping), void *ctx);

/* Text to number without libc; stops at the first other character, where *end is put. */
uint64_t proc_number(const char *text, int base, const char **end);

#endif
