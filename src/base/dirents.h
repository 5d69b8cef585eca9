/* The entries of a directory as getdents64 writes them into a buffer, one behind the other.  Who
 * makes the call is another's business: some may only make it without libc, and none may allocate,
 * as opendir does. */
#ifndef BASE_DIRENTS_H
#define BASE_DIRENTS_H

#include <stddef.h>
#include <stdint.h>

/* struct linux_dirent64 */
struct dirent_record {
    uint64_t inode;
    int64_t next; /* position of the one behind it */
    uint16_t length;
    uint8_t type;
    char name[];
};

/* For a buffer of such. */
#define DIRENTS_ALIGNED __attribute__((aligned(_Alignof(struct dirent_record))))

struct dirents {
    const char *at, *end;
};

/* The next one, or NULL. */
static inline const struct dirent_record *dirents_next(struct dirents *entries)
{
    if (entries->at >= entries->end)
        return NULL;
    const struct dirent_record *entry = (const void *)entries->at;
    entries->at += entry->length;
    return entry;
}

#endif
