#include "stack/unwinder.h"

#include "base/compiler.h"
#include "base/os.h"
#include "stack/loaded.h"

#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct unwinder unwinder;

/* ---- what its calls are led to ---- */

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

/* libunwind writes by write, and on x86-64 by syscall. */
static long written(const void *from, long size)
{
    if (os_can_read((uintptr_t)from))
        return size;
    errno = EFAULT;
    return -1;
}

static ssize_t probe_write(int fd, const void *from, size_t size)
{
    if (fd != PROBE_WRITE)
        return write(fd, from, size);
    return written(from, (long)size);
}

static long probe_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    if (number != SYS_write || a != PROBE_WRITE)
        return syscall(number, a, b, c, d, e, f);
    return written((const void *)b, c);
}

static int probe_mincore(void *start, size_t size, unsigned char *resident)
{
    for (size_t at = 0; at < size; at += OS_PAGE) {
        if (!os_can_read((uintptr_t)start + at)) {
            errno = ENOMEM;
            return -1;
        }
        resident[at / OS_PAGE] = 1;
    }
    return 0;
}

/* The last pages that this walk has found to be there. */
static THREAD_LOCAL struct {
    bool on;
    unsigned next; /* to be replaced */
    uintptr_t pages[4];
} walk;

/* The context and the cursor of the walk, which lie just below here, take up more than 1 KiB. */
void unwinder_enter(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    memset(&walk, 0, sizeof walk);
    walk.pages[0] = here / OS_PAGE_MIN;
    walk.pages[1] = (here - 1024) / OS_PAGE_MIN;
    walk.next = 2;
    walk.on = true;
}

void unwinder_leave(void)
{
    walk.on = false;
}

static bool is_there(uintptr_t address)
{
    uintptr_t page = address / OS_PAGE_MIN;
    for (size_t i = 0; i < ARRAY_LENGTH(walk.pages); i++)
        if (page == walk.pages[i] && page)
            return true;
    if (!page || !os_can_read(address))
        return false;
    walk.pages[walk.next] = page;
    walk.next = (walk.next + 1) % ARRAY_LENGTH(walk.pages);
    return true;
}

static int (*access_mem)(unw_addr_space_t, unw_word_t, unw_word_t *, int, void *);

/* A program's own walks by this libunwind are as they were. */
static NO_SANITIZE int read_word(unw_addr_space_t space, unw_word_t address, unw_word_t *word,
                                 int write, void *of)
{
    if (write || !walk.on)
        return access_mem(space, address, word, write, of);
    if (!is_there(address) || !is_there(address + sizeof *word - 1))
        return -UNW_EINVAL;
    *word = *(const volatile unw_word_t *)address;
    return 0;
}

static uintptr_t asked_for; /* the last address, while the shape is tried */
static bool trying;

/* libunwind walks the list for the one object that holds an address, the first word of `data`
 * (unwinder_init tries that), and shows its callback all others for nothing.  The headers are what
 * it looks at of them: where the object lies, its tables for unwinding, its dynamic section. */
static int show_object(int (*callback)(struct dl_phdr_info *, size_t, void *), void *data)
{
    uintptr_t address = *(const uintptr_t *)data;
    struct loaded object;
    if (trying)
        asked_for = address;
    if (!loaded_at(address, &object))
        return 0;
    ElfW(Phdr) headers[3] = {{.p_type = PT_LOAD,
                              .p_flags = PF_R | PF_X,
                              .p_vaddr = object.start - object.bias,
                              .p_filesz = object.end - object.start,
                              .p_memsz = object.end - object.start}};
    struct dl_phdr_info info = {
        .dlpi_addr = object.bias, .dlpi_name = object.name, .dlpi_phdr = headers, .dlpi_phnum = 1};
    if (object.tables)
        headers[info.dlpi_phnum++] =
            (ElfW(Phdr)){.p_type = PT_GNU_EH_FRAME, .p_vaddr = object.tables - object.bias};
    if (object.dynamic)
        headers[info.dlpi_phnum++] =
            (ElfW(Phdr)){.p_type = PT_DYNAMIC, .p_vaddr = object.dynamic - object.bias};
    return callback(&info, offsetof(struct dl_phdr_info, dlpi_adds), data);
}

/* ---- leading them there ---- */

enum { CALLS_NEEDED = 3, CALL_WRITE = CALLS_NEEDED, CALL_SYSCALL };

static struct call {
    const char *name;
    void *ours;
    bool found;
} calls[] = {
    {"dl_iterate_phdr", (void *)show_object, false},
    {"pipe2", (void *)probe_pipe2, false},
    {"read", (void *)probe_read, false},
    /* One of these two. */
    [CALL_WRITE] = {"write", (void *)probe_write, false},
    [CALL_SYSCALL] = {"syscall", (void *)probe_syscall, false},
    {"mincore", (void *)probe_mincore, false}, /* not since 1.8 */
    {"mmap", (void *)os_mmap, false},
    {"mmap64", (void *)os_mmap, false},
    {"munmap", (void *)os_munmap, false},
};

struct image {
    uintptr_t bias;
    const ElfW(Sym) * symbols;
    const char *strings;
    const uint32_t *hash;
    const ElfW(Rela) * data, *jumps;
    size_t data_bytes, jump_bytes;
    uintptr_t sealed, sealed_end; /* what the loader has made read-only after relocation */
    bool open;                    /* it can be written to */
};

/* Where a slot of this symbol must lead; NULL: where the loader leads it. */
static void *right_target(const struct image *image, const ElfW(Sym) * symbol)
{
    const char *name = image->strings + symbol->st_name;
    unsigned type = ELF64_ST_TYPE(symbol->st_info);
    if (symbol->st_shndx != SHN_UNDEF)
        /* Exceptions are the program's affair, and libgcc_s's. */
        return (type == STT_FUNC || type == STT_OBJECT) && strncmp(name, "_Unwind_", 8) != 0
                   ? (void *)(image->bias + symbol->st_value)
                   : NULL;
    for (size_t i = 0; i < ARRAY_LENGTH(calls); i++)
        if (strcmp(name, calls[i].name) == 0) {
            calls[i].found = true;
            return calls[i].ours;
        }
    return NULL;
}

static void seal(struct image *image, bool open)
{
    if (image->open != open)
        mprotect((void *)image->sealed, image->sealed_end - image->sealed,
                 open ? PROT_READ | PROT_WRITE : PROT_READ);
    image->open = open;
}

static void lead_slots(struct image *image, const ElfW(Rela) * slots, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        unsigned type = ELF64_R_TYPE(slots[i].r_info);
        if (!MACHINE_SLOT(type))
            continue;
        void *right = right_target(image, &image->symbols[ELF64_R_SYM(slots[i].r_info)]);
        void **slot = (void **)(image->bias + slots[i].r_offset);
        if (!right || *slot == right)
            continue;
        if ((uintptr_t)slot - image->sealed < image->sealed_end - image->sealed)
            seal(image, true);
        __atomic_store_n(slot, right, __ATOMIC_RELAXED);
    }
}

#define TEXT_OF(name) TEXT(name)
#define TEXT(name) #name

static unw_addr_space_t *local_space;
static unw_accessors_t *(*get_accessors)(unw_addr_space_t);

static const struct {
    void *to;
    const char *name;
} functions[] = {
    {&local_space, TEXT_OF(unw_local_addr_space)},
    {&get_accessors, TEXT_OF(unw_get_accessors)},
    UNWINDER_HERE{&unwinder.init_local, TEXT_OF(unw_init_local)},
    {&unwinder.get_reg, TEXT_OF(unw_get_reg)},
    {&unwinder.get_proc_info, TEXT_OF(unw_get_proc_info)},
    {&unwinder.step, TEXT_OF(unw_step)},
    {&unwinder.backtrace, TEXT_OF(unw_backtrace)},
};

/* By the GNU hash table, whose last chain ends at the last symbol. */
static uint32_t count_symbols(const uint32_t *hash)
{
    uint32_t buckets = hash[0], first_hashed = hash[1], bloom_words = hash[2], last = 0;
    const uint32_t *bucket = hash + 4 + (size_t)bloom_words * 2;
    const uint32_t *chain = bucket + buckets;
    for (uint32_t i = 0; i < buckets; i++)
        last = MAX(last, bucket[i]);
    if (last < first_hashed)
        return 0;
    while (!(chain[last - first_hashed] & 1))
        last++;
    return last + 1;
}

/* libunwind's own, whoever else has a function of that name. */
static unsigned find_functions(const struct image *image)
{
    uint32_t count = count_symbols(image->hash);
    unsigned found = 0;
    for (uint32_t i = 1; i < count; i++) {
        const ElfW(Sym) *symbol = &image->symbols[i];
        if (symbol->st_shndx == SHN_UNDEF)
            continue;
        for (size_t f = 0; f < ARRAY_LENGTH(functions); f++)
            if (strcmp(image->strings + symbol->st_name, functions[f].name) == 0) {
                uintptr_t function = image->bias + symbol->st_value;
                memcpy(functions[f].to, &function, sizeof function);
                found++;
            }
    }
    return found;
}

static struct image image_of(const struct dl_phdr_info *info)
{
    struct image image = {.bias = info->dlpi_addr};
    const ElfW(Dyn) *entry = NULL;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t start = image.bias + p->p_vaddr;
        if (p->p_type == PT_DYNAMIC) {
            entry = (const void *)start;
        } else if (p->p_type == PT_GNU_RELRO) {
            image.sealed = start & ~(uintptr_t)(OS_PAGE - 1);
            image.sealed_end = (start + p->p_memsz) & ~(uintptr_t)(OS_PAGE - 1);
        }
    }
    for (; entry && entry->d_tag != DT_NULL; entry++) {
        const void *at = (const void *)entry->d_un.d_ptr; /* relocated by the loader */
        switch (entry->d_tag) {
        case DT_RELA:
            image.data = at;
            break;
        case DT_RELASZ:
            image.data_bytes = entry->d_un.d_val;
            break;
        case DT_JMPREL:
            image.jumps = at;
            break;
        case DT_PLTRELSZ:
            image.jump_bytes = entry->d_un.d_val;
            break;
        case DT_SYMTAB:
            image.symbols = at;
            break;
        case DT_STRTAB:
            image.strings = at;
            break;
        case DT_GNU_HASH:
            image.hash = at;
            break;
        default:
            break;
        }
    }
    return image;
}

/* The libunwind that this library needs: not LLVM's, which is libunwind.so.1. */
static int lead(struct dl_phdr_info *info, size_t size, void *data)
{
    bool *led = data;
    unsigned found = 0;
    const char *base = strrchr(info->dlpi_name, '/');
    (void)size;
    if (strcmp(base ? base + 1 : info->dlpi_name, LIBUNWIND_SONAME) != 0)
        return 0;
    struct image image = image_of(info);
    if (!image.symbols || !image.strings || !image.hash)
        return 1;
    lead_slots(&image, image.data, image.data_bytes / sizeof *image.data);
    lead_slots(&image, image.jumps, image.jump_bytes / sizeof *image.jumps);
    seal(&image, false);
    for (size_t i = 0; i < CALLS_NEEDED; i++)
        found += calls[i].found;
    bool probes = calls[CALL_WRITE].found || calls[CALL_SYSCALL].found;
    *led = found == CALLS_NEEDED && probes && find_functions(&image) == ARRAY_LENGTH(functions);
    return 1;
}

/* Its table of accessors is meant to be asked for; what it has there for its own process it uses
 * too. */
static void lead_reads(void)
{
    unw_accessors_t *accessors = get_accessors(*local_space);
    access_mem = accessors->access_mem;
    accessors->access_mem = read_word;
}

/* One step from here: it initialises libunwind, and what it asks for is known. */
static NOINLINE bool known_shape(void)
{
    unw_context_t context;
    unw_cursor_t cursor;
    unw_word_t pc = 0;
    trying = true;
    bool stepped = unwinder_here(&context) == 0 && unwinder.init_local(&cursor, &context) == 0 &&
                   unwinder.get_reg(&cursor, UNW_REG_IP, &pc) == 0 && unwinder.step(&cursor) > 0;
    trying = false;
    return stepped && pc - asked_for <= 1;
}

bool unwinder_init(void)
{
    bool led = false;
    dl_iterate_phdr(lead, &led);
    if (!led || !known_shape())
        return false;
    lead_reads();
    return true;
}
