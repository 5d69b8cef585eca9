#include "stack/loaded.h"

#include "base/machine.h"

#include <dlfcn.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>

/* NULL before glibc 2.35.  By name: a reference would keep the library from loading there. */
static int (*find_object)(void *address, struct dl_find_object *found);

/* How many objects the program was started with: the first of the loader's list, whose records stay
 * as they are.  Written once, by loaded_begin. */
static unsigned begun_with;

void loaded_begin(void)
{
    for (const struct link_map *map = _r_debug.r_map; map; map = map->l_next)
        begun_with++;
}

bool loaded_for_ever(const struct loaded *object)
{
    const struct link_map *map = _r_debug.r_map;
    for (unsigned i = 0; i < begun_with; i++, map = map->l_next)
        if ((uintptr_t)map->l_ld == object->dynamic)
            return true;
    return false;
}

void loaded_init(void)
{
    *(void **)&find_object = dlsym(RTLD_NEXT, "_dl_find_object");
}

bool loaded_is_lock_free(void)
{
    return find_object;
}

struct search {
    uintptr_t address;
    struct loaded *object;
};

static int visit(struct dl_phdr_info *info, size_t size, void *data)
{
    struct search *search = data;
    struct loaded found = {.start = UINTPTR_MAX, .bias = info->dlpi_addr, .name = info->dlpi_name};
    bool inside = false;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + p->p_vaddr, end = start + p->p_memsz;
        if (p->p_type == PT_GNU_EH_FRAME)
            found.tables = start;
        else if (p->p_type == PT_DYNAMIC)
            found.dynamic = start;
        if (p->p_type != PT_LOAD)
            continue;
        inside |= search->address - start < p->p_memsz;
        if (start < found.start)
            found.start = start;
        if (end > found.end)
            found.end = end;
    }
    if (!inside)
        return 0;
    found.identity = (const void *)found.dynamic;
    *search->object = found;
    return 1;
}

static bool walk_list(uintptr_t address, struct loaded *object)
{
    struct search search = {address, object};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool found = dl_iterate_phdr(visit, &search) == 1;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return found;
}

bool loaded_at(uintptr_t address, struct loaded *object)
{
    struct dl_find_object found;
    if (!find_object)
        return walk_list(address, object);
    if (find_object((void *)address, &found) != 0)
        return false;
    const struct link_map *map = found.dlfo_link_map;
    *object = (struct loaded){.identity = map,
                              .start = (uintptr_t)found.dlfo_map_start,
                              .end = (uintptr_t)found.dlfo_map_end,
                              .bias = map->l_addr,
                              .tables = (uintptr_t)found.dlfo_eh_frame,
                              .dynamic = (uintptr_t)map->l_ld,
                              .name = map->l_name};
    return true;
}

const ElfW(Phdr) * loaded_headers(const struct loaded *object, unsigned *count)
{
    /* An executable may have been given its headers elsewhere than at its start. */
    uintptr_t program = getauxval(AT_PHDR);
    if (program - object->start < object->end - object->start) {
        *count = (unsigned)getauxval(AT_PHNUM);
        return (const void *)program;
    }
    const ElfW(Ehdr) *header = (const void *)object->start;
    /* The first page is mapped and can be read, or it is not how objects are laid out. */
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_phentsize != sizeof(ElfW(Phdr)) ||
        header->e_phoff + header->e_phnum * sizeof(ElfW(Phdr)) > OS_PAGE_MIN)
        return NULL;
    /* They are the object's if they lead to its dynamic section, which need not lie between its
     * start and end. */
    const ElfW(Phdr) *headers = (const void *)(object->start + header->e_phoff);
    *count = header->e_phnum;
    for (unsigned i = 0; i < *count; i++)
        if (headers[i].p_type == PT_DYNAMIC && object->bias + headers[i].p_vaddr == object->dynamic)
            return headers;
    return NULL;
}
