#include "stack/unwind_probe.h"

#include "base/compiler.h"

#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Numbers that no descriptor has. */
enum { PROBE_READ = INT_MAX - 1, PROBE_WRITE = INT_MAX };

static int probe_pipe2(int ends[2], int flags)
{
    (void)flags;
    ends[0] = PROBE_READ;
    ends[1] = PROBE_WRITE;
    return 0;
}

static ssize_t probe_read(int fd, void *buf, size_t size)
{
    if (fd != PROBE_READ)
        return read(fd, buf, size);
    errno = EAGAIN; /* the pipe is empty: what was written does not matter */
    return -1;
}

/* libunwind writes by syscall(2).  With a `how` that does not exist, rt_sigprocmask copies the new
 * mask in and then refuses: EFAULT if it cannot be read, else EINVAL, and nothing is changed.  The
 * mask's 8 bytes lie in the page. */
static long probe_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    if (number != SYS_write || a != PROBE_WRITE)
        return syscall(number, a, b, c, d, e, f);
    long result = syscall(SYS_rt_sigprocmask, ~0, b & ~7l, NULL, 8);
    return result < 0 && errno == EFAULT ? -1 : c;
}

static const struct {
    const char *name;
    void *ours;
} calls[] = {
    {"pipe2", (void *)probe_pipe2},
    {"read", (void *)probe_read},
    {"syscall", (void *)probe_syscall},
};

struct search {
    unsigned found;
};

/* Leads the jump slots of these names to ours. */
static void lead(const struct dl_phdr_info *info, const ElfW(Dyn) * dynamic, struct search *search)
{
    const ElfW(Rela) *slots = NULL;
    const ElfW(Sym) *symbols = NULL;
    const char *strings = NULL;
    size_t bytes = 0;
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        if (dynamic->d_tag == DT_JMPREL)
            slots = (const void *)dynamic->d_un.d_ptr;
        else if (dynamic->d_tag == DT_PLTRELSZ)
            bytes = dynamic->d_un.d_val;
        else if (dynamic->d_tag == DT_SYMTAB)
            symbols = (const void *)dynamic->d_un.d_ptr;
        else if (dynamic->d_tag == DT_STRTAB)
            strings = (const void *)dynamic->d_un.d_ptr;
        else if (dynamic->d_tag == DT_FLAGS_1 && dynamic->d_un.d_val & DF_1_NOW)
            return; /* the table is read-only: a libunwind that we do not know */
    }
    if (!slots || !symbols || !strings)
        return;
    for (size_t i = 0; i < bytes / sizeof *slots; i++) {
        const char *name = strings + symbols[ELF64_R_SYM(slots[i].r_info)].st_name;
        for (size_t c = 0; c < ARRAY_LENGTH(calls); c++)
            if (strcmp(name, calls[c].name) == 0) {
                void **slot = (void **)(info->dlpi_addr + slots[i].r_offset);
                __atomic_store_n(slot, calls[c].ours, __ATOMIC_RELAXED);
                search->found++;
            }
    }
}

static int visit(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    const char *base = strrchr(info->dlpi_name, '/');
    if (strncmp(base ? base + 1 : info->dlpi_name, "libunwind.so.", 13) != 0)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            lead(info, (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr), data);
    return 1;
}

bool unwind_probe_init(void)
{
    struct search search = {0};
    dl_iterate_phdr(visit, &search);
    return search.found == ARRAY_LENGTH(calls);
}
