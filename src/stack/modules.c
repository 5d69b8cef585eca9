#include "stack/modules.h"

#include "base/compiler.h"
#include "base/lock.h"
#include "base/os.h"
#include "segment/segment.h"

#include <link.h>
#include <stdbool.h>
#include <string.h>

/* All guarded by modules_lock, but for `epoch`. */
static struct lock modules_lock = LOCK_INIT(LOCK_MODULES);
static uint32_t epoch = 1;
static unsigned long long seen_subs;

static bool known(uint64_t pc)
{
    const struct md_module *m = segment_table(MD_SECTION_MODULES);
    uint64_t count = segment_header()->section[MD_SECTION_MODULES].count;
    for (uint64_t i = 0; i < count; i++)
        if (pc - m[i].start < m[i].limit - m[i].start && !m[i].gone)
            return true;
    return false;
}

static void read_build_id(struct md_module *m, const struct dl_phdr_info *info)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_NOTE)
            continue;
        const char *at = (const char *)info->dlpi_addr + p->p_vaddr, *end = at + p->p_memsz;
        while (at + sizeof(ElfW(Nhdr)) <= end) {
            const ElfW(Nhdr) *note = (const void *)at;
            const char *name = at + sizeof *note;
            const char *desc = name + ((note->n_namesz + 3u) & ~3u);
            if (desc + note->n_descsz > end)
                break;
            if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
                memcmp(name, "GNU", 4) == 0) {
                m->build_id_size = MIN(note->n_descsz, (uint32_t)sizeof m->build_id);
                memcpy(m->build_id, desc, m->build_id_size);
                return;
            }
            at = desc + ((note->n_descsz + 3u) & ~3u);
        }
    }
}

static bool describe(struct md_module *m, const struct dl_phdr_info *info)
{
    memset(m, 0, sizeof *m);
    m->bias = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
            continue;
        uint64_t start = info->dlpi_addr + p->p_vaddr;
        if (!m->start) {
            m->start = start & ~(uint64_t)(OS_PAGE - 1);
            m->offset = p->p_offset & ~(uint64_t)(OS_PAGE - 1);
        }
        m->limit = (start + p->p_memsz + OS_PAGE - 1) & ~(uint64_t)(OS_PAGE - 1);
    }
    if (!m->start)
        return false;
    read_build_id(m, info);
    if (strncmp(info->dlpi_name, "linux-vdso", 10) == 0)
        strcpy(m->path, "[vdso]");
    else if (info->dlpi_name[0])
        strncpy(m->path, info->dlpi_name, sizeof m->path - 1);
    else
        os_executable(m->path, sizeof m->path);
    m->path_size = (uint32_t)strlen(m->path);
    return true;
}

struct visit {
    bool only_subs;
    unsigned long long subs;
    uint64_t live[1024 / 64]; /* bit i: table entry i was seen */
};

static int visit(struct dl_phdr_info *info, size_t size, void *data)
{
    struct visit *v = data;
    struct md_module fresh;
    if (size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof info->dlpi_subs)
        v->subs = info->dlpi_subs;
    if (v->only_subs)
        return 1;
    if (!describe(&fresh, info))
        return 0;
    struct md_module *m = segment_table(MD_SECTION_MODULES);
    uint64_t count = segment_header()->section[MD_SECTION_MODULES].count;
    for (uint64_t i = 0; i < count; i++)
        if (!m[i].gone && m[i].start == fresh.start && m[i].limit == fresh.limit &&
            strcmp(m[i].path, fresh.path) == 0) {
            v->live[i / 64] |= 1ull << (i % 64);
            return 0;
        }
    if (!segment_grow(MD_SECTION_MODULES, count + 1))
        return 0;
    fresh.born = epoch;
    memcpy(&m[count], &fresh, sizeof fresh);
    v->live[count / 64] |= 1ull << (count % 64);
    segment_set_count(MD_SECTION_MODULES, count + 1);
    return 0;
}

uint32_t modules_epoch(const uint64_t *pcs, unsigned count)
{
    struct visit v = {.only_subs = true};
    if (!lock_try(&modules_lock))
        return __atomic_load_n(&epoch, __ATOMIC_RELAXED);
    dl_iterate_phdr(visit, &v);
    bool refresh = v.subs != seen_subs;
    for (unsigned i = 0; i < count && !refresh; i++)
        refresh = !known(pcs[i] - 1);
    if (refresh) {
        /* Those not met again are gone from the next epoch on: stacks of this one may be theirs. */
        struct md_module *m = segment_table(MD_SECTION_MODULES);
        uint64_t before = segment_header()->section[MD_SECTION_MODULES].count;
        bool subs_changed = v.subs != seen_subs;
        seen_subs = v.subs;
        if (subs_changed)
            __atomic_fetch_add(&epoch, 1, __ATOMIC_RELAXED);
        memset(&v, 0, sizeof v);
        dl_iterate_phdr(visit, &v);
        for (uint64_t i = 0; i < before && subs_changed; i++)
            if (!m[i].gone && !(v.live[i / 64] >> (i % 64) & 1))
                m[i].gone = epoch;
    }
    uint32_t now = epoch;
    lock_release(&modules_lock);
    return now;
}

bool modules_try(void)
{
    return lock_try(&modules_lock);
}

void modules_release(void)
{
    lock_release(&modules_lock);
}

void modules_renew(void)
{
    lock_renew(&modules_lock);
    seen_subs = 0;
}
