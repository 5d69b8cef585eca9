#include "malloc/foreign.h"

#include "base/compiler.h"
#include "base/fmt.h"
#include "base/os.h"
#include "malloc/variants.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

/* References like those of the program, with libc's version: the loader has led them where it leads
 * the program's.  A look-up by name would pass over what only a version finds, such as the old
 * versions that libc_malloc_debug.so defines.  (Our own calls are bound within this library.)  In
 * stubs_x86_64.S: a compiler takes what it knows by two names for two functions, which are never
 * equal. */
extern const struct {
    void *(*malloc)(size_t size);
    void (*free)(void *block);
    void *(*realloc)(void *block, size_t size);
    void *(*aligned_alloc)(size_t alignment, size_t size);
} program __attribute__((visibility("hidden")));

/* The module whose malloc stands first.  The program was started with it: it stays. */
static Dl_info first;

static bool look(void)
{
    void *const led[] = {(void *)program.malloc, (void *)program.free, (void *)program.realloc};
    void *const ours[] = {(void *)malloc, (void *)free, (void *)realloc};
    for (size_t i = 0; i < ARRAY_LENGTH(led); i++) {
        const ElfW(Sym) *symbol = NULL;
        if (led[i] == ours[i])
            return false;
        /* An executable that is not position-independent and takes a function's address has a stub
         * of its own, an undefined symbol, to which all references are led: it tells nothing. */
        if (dladdr1(led[i], &first, (void **)&symbol, RTLD_DL_SYMENT) && symbol &&
            symbol->st_shndx != SHN_UNDEF)
            return true;
    }
    return false;
}

bool foreign_malloc(void)
{
    static bool looked, foreign;
    if (!looked) {
        foreign = look();
        looked = true;
    }
    return foreign;
}

bool foreign_is_glibc(void)
{
    return foreign_malloc() && first.dli_fname && strstr(first.dli_fname, "/libc_malloc_debug.so");
}

void foreign_reason(char *buf, size_t size)
{
    const ElfW(Ehdr) *header = first.dli_fbase;
    struct fmt f = fmt_on(buf, size);
    char name[256];
    os_program_name(name, sizeof name);
    fmt_text(&f, name);
    fmt_text(&f, " has a malloc of its own");
    if ((uintptr_t)header + header->e_phoff != getauxval(AT_PHDR)) {
        fmt_text(&f, ", that of ");
        fmt_text(&f, first.dli_fname);
    }
    fmt_text(&f, ": its memory cannot be seen");
}

/* A program that frees what new has given, or counts what it allocates, meets its own malloc there.
 */
static void *allocate(size_t alignment, size_t size)
{
    size = MAX(size, 1u);
    if (!alignment)
        return program.malloc(size);
    size_t whole = (size + alignment - 1) & ~(alignment - 1);
    return whole >= size ? program.aligned_alloc(alignment, whole) : NULL;
}

static void *allocate_or_fail(size_t alignment, size_t size, int nothrow)
{
    void *block = allocate(alignment, size);
    return LIKELY(block) ? block : new_failed(allocate, alignment, size, nothrow);
}

void *foreign_new(size_t size)
{
    return allocate_or_fail(0, size, 0);
}

void *foreign_new_nothrow(size_t size)
{
    return allocate_or_fail(0, size, 1);
}

void *foreign_new_aligned(size_t size, size_t alignment)
{
    return allocate_or_fail(alignment, size, 0);
}

void *foreign_new_aligned_nothrow(size_t size, size_t alignment)
{
    return allocate_or_fail(alignment, size, 1);
}

void foreign_free(void *block)
{
    program.free(block);
}
