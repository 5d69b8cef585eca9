/* Another allocator before ours: the executable's own malloc, or that of a library which stands
 * first.  No memory of such a program comes to us. */
#ifndef MALLOC_FOREIGN_H
#define MALLOC_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>

/* Whether it is so.  Found out by the first call, from boot, when there is one thread; from then on
 * safe anywhere. */
bool foreign_malloc(void);
/* Whether that malloc is glibc's debugging one, which knows what lies before a block of glibc's. */
bool foreign_is_glibc(void);
#define FOREIGN_REASON_SIZE 700
/* The reason why the program's memory cannot be seen, for a line or a report: once foreign_malloc
 * has said true, safe anywhere but in a signal handler. */
void foreign_reason(char *buf, size_t size);

/* Operator new and delete as libstdc++ has them, by that malloc. */
void *foreign_new(size_t size);
void *foreign_new_nothrow(size_t size);
void *foreign_new_aligned(size_t size, size_t alignment);
void *foreign_new_aligned_nothrow(size_t size, size_t alignment);
void foreign_free(void *block);

#endif
