#include "stack/modules.h"

#include "base/compiler.h"
#include "base/lock.h"
#include "base/os.h"
#include "segment/segment.h"
#include "stack/loaded.h"

#include <link.h>
#include <stdbool.h>
#include <string.h>

#define MODULES 1024u

/* What is known of an entry of the table beside it.  Private: a forked copy has it as it was at the
 * fork, and what its parent adds later is not for it. */
struct known {
    struct loaded object;               /* without its name, which is the loader's */
    uintptr_t tables_start, tables_end; /* in memory */
};

/* All guarded by modules_lock. */
static struct lock modules_lock = LOCK_INIT(LOCK_MODULES);
static struct known known[MODULES];
static unsigned known_count; /* entries of the table that are whole */
static uint32_t epoch = 1;

static struct md_module *table(void)
{
    return segment_table(MD_SECTION_MODULES);
}

static void read_notes(struct md_module *m, const struct loaded *object, const ElfW(Phdr) * p)
{
    const char *at = (const char *)object->bias + p->p_vaddr, *end = at + p->p_memsz;
    if ((uintptr_t)at < object->start || (uintptr_t)end > object->end)
        return;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
        const ElfW(Nhdr) *note = (const void *)at;
        const char *name = at + sizeof *note;
        const char *desc = name + ((note->n_namesz + 3u) & ~3u);
        if (desc + note->n_descsz > end)
            return;
        if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && memcmp(name, "GNU", 4) == 0) {
            m->build_id_size = MIN(note->n_descsz, (uint32_t)sizeof m->build_id);
            memcpy(m->build_id, desc, m->build_id_size);
            return;
        }
        at = desc + ((note->n_descsz + 3u) & ~3u);
    }
}

/* Where code lies and which build it is; without headers, all of it may be code. */
static void read_headers(struct md_module *m, struct known *k, const struct loaded *object)
{
    unsigned count;
    const ElfW(Phdr) *headers = loaded_headers(object, &count);
    m->bias = object->bias;
    m->start = object->start;
    m->limit = object->end;
    bool code = false;
    for (unsigned i = 0; headers && i < count; i++) {
        const ElfW(Phdr) *p = &headers[i];
        uint64_t start = object->bias + p->p_vaddr, end = start + p->p_memsz;
        if (p->p_type == PT_NOTE && !m->build_id_size)
            read_notes(m, object, p);
        if (p->p_type != PT_LOAD)
            continue;
        if (object->tables - start < p->p_memsz && !(p->p_flags & PF_W)) {
            k->tables_start = object->tables;
            k->tables_end = end;
        }
        if (!(p->p_flags & PF_X))
            continue;
        if (!code) {
            m->start = start & ~(uint64_t)(OS_PAGE - 1);
            m->offset = p->p_offset & ~(uint64_t)(OS_PAGE - 1);
        }
        code = true;
        m->limit = (end + OS_PAGE - 1) & ~(uint64_t)(OS_PAGE - 1);
    }
}

/* The path that the loader's name stands for, into m->path. */
static void name_module(struct md_module *m, const char *name)
{
    if (strncmp(name, "linux-vdso", 10) == 0)
        strcpy(m->path, "[vdso]");
    else if (name[0])
        strncpy(m->path, name, sizeof m->path - 1);
    else
        os_executable(m->path, sizeof m->path);
    m->path_size = (uint32_t)strlen(m->path);
}

void modules_describe(const struct loaded *object, struct md_module *module)
{
    struct known unused = {.tables_start = 0};
    *module = (struct md_module){.start = 0};
    read_headers(module, &unused, object);
    name_module(module, object->name);
}

static void change(bool *changed)
{
    if (!*changed)
        epoch++;
    *changed = true;
}

/* Whether entry `i` is this object.  Another may lie at the same addresses, with the same record of
 * the loader: then it has another file or another build.  A file replaced by one without a build
 * id, of the same size and the same layout, is not told from the old one. */
static bool is_entry(unsigned i, const struct loaded *object)
{
    const struct loaded *was = &known[i].object;
    const struct md_module *m = &table()[i];
    struct md_module fresh = {.start = 0};
    struct known unused;
    if (was->identity != object->identity || was->start != object->start ||
        was->end != object->end || was->bias != object->bias || was->tables != object->tables ||
        was->dynamic != object->dynamic)
        return false;
    /* The executable and the vdso stay. */
    if (!object->name[0] || m->path[0] == '[')
        return true;
    read_headers(&fresh, &unused, object);
    return strncmp(m->path, object->name, sizeof m->path - 1) == 0 &&
           m->build_id_size == fresh.build_id_size &&
           memcmp(m->build_id, fresh.build_id, fresh.build_id_size) == 0;
}

/* Marks what the table has between `start` and `end`, but for entry `keep`. */
static void clear(uintptr_t start, uintptr_t end, unsigned keep, bool *changed)
{
    for (unsigned i = 0; i < known_count; i++)
        if (i != keep && !table()[i].gone && known[i].object.start < end &&
            start < known[i].object.end) {
            change(changed);
            table()[i].gone = epoch;
        }
}

static unsigned find(const struct loaded *object)
{
    for (unsigned i = 0; i < known_count; i++)
        if (!table()[i].gone && is_entry(i, object))
            return i;
    return MODULES;
}

static void add(const struct loaded *object, bool *changed)
{
    unsigned i = known_count;
    if (i >= MODULES || !segment_grow(MD_SECTION_MODULES, i + 1))
        return;
    /* Made in our own memory: whoever may write to the segment may do so meanwhile. */
    struct md_module m = {.start = 0};
    struct known *k = &known[i];
    *k = (struct known){.object = *object};
    k->object.name = NULL;
    read_headers(&m, k, object);
    name_module(&m, object->name);
    change(changed);
    m.born = epoch;
    table()[i] = m;
    segment_set_count(MD_SECTION_MODULES, i + 1);
    __atomic_store_n(&known_count, i + 1, __ATOMIC_RELEASE);
}

uint32_t modules_epoch(const uint64_t *pcs, unsigned count)
{
    struct loaded object = {.start = 0};
    uint64_t checked[MODULES / 64] = {0}; /* bit i: entry i is what lies there now */
    bool changed = false;
    lock_take(&modules_lock);
    for (unsigned p = 0; p < count; p++) {
        uintptr_t address = pcs[p] - 1;
        unsigned i = 0;
        while (i < known_count &&
               !(checked[i / 64] >> (i % 64) & 1 &&
                 address - known[i].object.start < known[i].object.end - known[i].object.start))
            i++;
        if (i < known_count)
            continue;
        if (!loaded_at(address, &object)) {
            clear(address, address + 1, MODULES, &changed);
            continue;
        }
        i = find(&object);
        clear(object.start, object.end, i, &changed);
        if (i == MODULES) {
            i = known_count;
            add(&object, &changed);
        }
        if (i < known_count)
            checked[i / 64] |= UINT64_C(1) << (i % 64);
    }
    uint32_t now = epoch;
    lock_release(&modules_lock);
    return now;
}

void modules_each_tables(void (*each)(uintptr_t start, uintptr_t end))
{
    lock_take(&modules_lock);
    for (unsigned i = 0; i < known_count; i++)
        if (!table()[i].gone && known[i].tables_start)
            each(known[i].tables_start, known[i].tables_end);
    lock_release(&modules_lock);
}

bool modules_try(void)
{
    return lock_try(&modules_lock);
}

void modules_release(void)
{
    lock_release(&modules_lock);
}

void modules_inherit(const struct md_module *parent, uint64_t readable)
{
    lock_postfork_child(&modules_lock);
    known_count = (unsigned)MIN(known_count, readable);
    if (!segment_grow(MD_SECTION_MODULES, known_count))
        known_count = 0;
    for (unsigned i = 0; i < known_count; i++) {
        table()[i] = parent[i];
        /* What the parent found out since was not so at the fork. */
        if (table()[i].gone > epoch)
            table()[i].gone = 0;
    }
    segment_set_count(MD_SECTION_MODULES, known_count);
}
