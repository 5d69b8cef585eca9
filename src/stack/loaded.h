/* Which loaded object holds an address, without the loader's locks: a thread may hold them for ever
 * (the copy of a process that was forked beside a dlopen), or be in the middle of taking one
 * (a signal handler that unwinds).  _dl_find_object takes none, and is safe in a signal handler.
 *
 * It came with glibc 2.35.  Before that the loader's list is walked, under its lock, with all
 * signals blocked meanwhile. */
#ifndef STACK_LOADED_H
#define STACK_LOADED_H

#include <link.h>
#include <stdbool.h>
#include <stdint.h>

struct loaded {
    const void *identity; /* the loader's record: another object's once this one is unloaded */
    uintptr_t start, end; /* of all its mappings; of that with code, where they lie apart: on a
                             system whose pages are smaller than those it was linked for */
    uintptr_t bias;       /* address in memory - address in the file */
    uintptr_t tables;     /* its tables for unwinding (.eh_frame_hdr), 0: none */
    uintptr_t dynamic;    /* its dynamic section, 0: unknown */
    const char *name;     /* as the loader has it: "" is the executable */
};

/* At the first allocation, when nothing has been loaded by dlopen: notes what the program was
 * started with. */
void loaded_begin(void);
/* Once, at load: asks the loader for that function. */
void loaded_init(void);
/* False: none.  What it points to stays as long as the object: a return address on the caller's
 * stack keeps that loaded.  Async-signal-safe. */
bool loaded_at(uintptr_t address, struct loaded *object);
/* Whether loaded_at takes no lock: then it may be asked in a copy of the process too. */
bool loaded_is_lock_free(void);
/* Whether the program was started with it: then it is never unloaded. */
bool loaded_for_ever(const struct loaded *object);
/* Its program headers; NULL: they do not lie in memory where the ELF header says. */
const ElfW(Phdr) * loaded_headers(const struct loaded *object, unsigned *count);

#endif
