#include "segment/segment.h"

#include "base/compiler.h"
#include "base/lock.h"
#include "base/options.h"
#include "base/fmt.h"
#include "base/os.h"
#include "segment/past.h"
#include "segment/place.h"
#include "segment/tables.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BYTES_MAX (512ull << 20)
#define LIMITED_MIN (4ull << 20)
#define LIMITED_SHARE 64 /* of an address space that has a limit, for each set of tables */
#define FILE_DUE_BYTES (512u << 10)
#define COPY_NAPS 4000     /* of 50 us and more */
#define LOOK_NS 1000000000 /* how often we look whether the file was unlinked */
#define BUSY_NS 10000000   /* until another try where a lock was taken */

void (*segment_on_fork)(const struct tables *inherited);

/* Guarded by segment_lock: which memory the tables lie in. */
static struct lock segment_lock = LOCK_INIT(LOCK_SEGMENT);
static struct tables tables;  /* in use */
static struct tables retired; /* the ones before: readers of this process may still hold them */
static bool moving;           /* both are being changed: a copy made now cannot use them */
/* Written with segment_lock held, by the one thread that has claimed `drafting`; read by that one.
 */
static struct place place;
static dev_t file_dev;
static ino_t file_ino;
/* Atomic; claimed by exchange, by the thread that looks after the file: makes it, looks whether it
 * is there, clears away dead ones. */
static bool drafting;
static bool untidy; /* atomic: there is more to clear away */
/* Written by the thread that has claimed `drafting`; read by others too. */
static bool is_file;
static bool kept;         /* the file stays at exit */
static int64_t looked_ns; /* when it was last seen that the file is there */

/* Counted in private memory: stays true through fork and when the file is made anew; copied to the
 * segment at each publication. */
static struct md_counters counters;
static struct md_header identity; /* what each new segment starts with */
/* A page that reads 0 in a forked copy, however that was made, until one of its threads has made a
 * segment for it.  `known` and `maker` are atomic. */
struct canary {
    uint8_t known;    /* 1: the tables are this process's */
    uint32_t maker;   /* thread id */
    uint32_t process; /* that this memory belongs to */
};
static struct canary *canary;
static bool usable;

static void name_process(void)
{
    char *name = identity.name;
    os_executable(identity.exe, sizeof identity.exe);
    os_program_name(name, sizeof identity.name);
    if (!*name)
        strcpy(name, "unknown");
    for (char *c = name; *c; c++)
        if (*c == ' ' || *c == ',' || (unsigned char)*c < ' ')
            *c = '_';
    long n = os_read_file("/proc/self/cmdline", identity.cmdline, sizeof identity.cmdline);
    for (long i = 0; i + 1 < n; i++)
        if ((unsigned char)identity.cmdline[i] < ' ')
            identity.cmdline[i] = ' ';
}

/* All but the flags, which another thread may be setting. */
static void identify(void)
{
    memcpy(identity.magic, MD_SEGMENT_MAGIC, 8);
    identity.version = MD_SEGMENT_VERSION;
    identity.oldest_reader = MD_SEGMENT_OLDEST_READER;
    identity.header_size = sizeof identity;
    identity.parent_pid = (uint32_t)getppid();
    identity.start_ticks = os_start_ticks();
    identity.uid = geteuid();
    identity.cpus = os_cpu_count();
    identity.page_size = OS_PAGE;
    identity.section_count = MD_SECTION_COUNT;
    name_process();
    /* Last, as it says that the rest is there. */
    __atomic_store_n(&identity.pid,
                     canary && canary->process ? canary->process : (uint32_t)getpid(),
                     __ATOMIC_RELEASE);
    if (tables.header) {
        /* Private tables have had only the first part so far. */
        memcpy(tables.header, &identity, offsetof(struct md_header, section));
        memcpy(tables.header->name, identity.name, sizeof identity.name);
        memcpy(tables.header->exe, identity.exe, sizeof identity.exe);
        memcpy(tables.header->cmdline, identity.cmdline, sizeof identity.cmdline);
    }
}

static void options_to_header(struct md_header *header)
{
    header->memprofilerate = option_number(OPTION_MEMPROFILERATE);
    header->gcpercent = option_number(OPTION_GCPERCENT);
    options_describe(header->options, sizeof header->options);
}

static bool make_canary(void)
{
    struct canary *page = own_map(OS_PAGE);
    if (!page)
        return false;
    /* Linux 4.14; where it is refused a forked copy is known by the fork handlers alone. */
    madvise(page, OS_PAGE, MADV_WIPEONFORK);
    page->known = 1;
    page->process = (uint32_t)getpid();
    canary = page;
    return true;
}

static uint64_t limit_of(int resource)
{
    struct rlimit limit;
    return getrlimit(resource, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ? limit.rlim_cur
                                                                               : UINT64_MAX;
}

/* A program under RLIMIT_AS must get what it would have got without us: the tables are reserved
 * small there. */
static uint64_t reservation(void)
{
    uint64_t limit = limit_of(RLIMIT_AS);
    if (limit == UINT64_MAX)
        return BYTES_MAX;
    uint64_t share = MIN(limit / LIMITED_SHARE, BYTES_MAX) & ~(uint64_t)(OS_PAGE - 1);
    return MAX(share, LIMITED_MIN);
}

/* The signal for a file beyond RLIMIT_FSIZE ends a program, so the file is made to fit. */
static uint64_t file_reservation(void)
{
    return MIN(reservation(), limit_of(RLIMIT_FSIZE) & ~(uint64_t)(OS_PAGE - 1));
}

bool segment_init(uint32_t flags)
{
    int saved = errno;
    identity.start_ns = (uint64_t)os_now_ns();
    identity.start_realtime_ns = os_realtime_ns();
    identity.flags = flags;
    options_to_header(&identity);
    usable = make_canary() && tables_create_private(&tables, reservation());
    if (usable)
        memcpy(tables.header, &identity, offsetof(struct md_header, section));
    errno = saved;
    return usable;
}

/* What has been found and made so far of a file that is to take the tables; of whoever has claimed
 * `drafting`.  A copy forked meanwhile finds here what it has inherited and would keep in use. */
static struct draft {
    struct place place;
    struct tables tables;
    struct stat st; /* st_ino 0: not known yet */
    int fd;         /* or -1 */
} draft = {.fd = -1};

/* All of it that looks at /proc and at directories: no lock is held. */
static bool draft_file(void)
{
    if (!identity.pid)
        identify();
    draft.st.st_ino = 0;
    draft.fd = place_open(&draft.place, &identity, file_reservation());
    if (draft.fd < 0)
        return false;
    bool ok = fstat(draft.fd, &draft.st) == 0 &&
              tables_create_file(&draft.tables, draft.fd, draft.place.budget);
    close(draft.fd);
    draft.fd = -1;
    if (!ok)
        unlink(draft.place.temporary);
    return ok;
}

static void drop_file(void)
{
    unlink(draft.place.temporary);
    tables_destroy(&draft.tables);
}

/* In a forked copy: lets go of what its parent was at.  The number may be another file's by now. */
static void forget_draft(void)
{
    struct stat st;
    if (draft.fd >= 0 && draft.st.st_ino && fstat(draft.fd, &st) == 0 &&
        st.st_ino == draft.st.st_ino && st.st_dev == draft.st.st_dev)
        close(draft.fd);
    draft.fd = -1;
    tables_destroy(&draft.tables);
}

/* Has our thread, if there is one, look what is to be done. */
static void wake(struct md_header *header)
{
    __atomic_fetch_or(&header->control.request, 1u << 31, __ATOMIC_RELEASE);
    syscall(SYS_futex, &header->control.request, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Moves the tables into the file.  segment_lock held, and segment_move_lock taken. */
static bool move_locked(void)
{
    struct md_header *header = draft.tables.header;
    identity.exec_generation = draft.place.exec_generation;
    struct md_section sections[16];
    memcpy(sections, header->section, sizeof sections);
    uint64_t file_size = header->file_size;
    memcpy(header, &identity, sizeof identity);
    memcpy(header->section, sections, sizeof sections);
    header->file_size = file_size;
    options_to_header(header);
    header->flags = tables.header->flags | identity.flags;
    header->heap_goal_bytes = tables.header->heap_goal_bytes;
    header->counters = counters;
    header->allocator = tables.header->allocator;
    header->answer = tables.header->answer;
    if (!tables_copy(&draft.tables, &tables) || place_publish(&draft.place) != 0)
        return false;
    /* Of the tables before, only the header may still be in somebody's hands. */
    __atomic_store_n(&moving, true, __ATOMIC_SEQ_CST);
    tables_destroy(&retired);
    retired = tables;
    tables = draft.tables;
    memset(&draft.tables, 0, sizeof draft.tables);
    __atomic_store_n(&moving, false, __ATOMIC_SEQ_CST);
    /* Flags that were set meanwhile, in the old header. */
    segment_set_flags(__atomic_load_n(&identity.flags, __ATOMIC_SEQ_CST));
    tables_release(&retired);
    /* Whoever sleeps on the old request word looks up the new one. */
    wake(retired.header);
    place = draft.place;
    file_dev = draft.st.st_dev;
    file_ino = draft.st.st_ino;
    __atomic_store_n(&is_file, true, __ATOMIC_RELAXED);
    return true;
}

/* Everything but the move itself without a lock: others go on meanwhile, in the tables that are
 * there.  The caller has claimed `drafting`.  False: a lock was not to be had. */
static bool make_file(void)
{
    if (!draft_file())
        return true;
    bool locked = false, moved = false;
    /* Tried, not waited for: the holder may be this thread, below a signal handler. */
    if (lock_try(&segment_lock)) {
        locked = segment_move_lock(true);
        if (locked) {
            bool held = past_hold();
            moved = held && move_locked();
            if (held)
                past_let_go();
            segment_move_lock(false);
            locked = held;
        }
        lock_release(&segment_lock);
    }
    if (!moved) {
        drop_file();
    } else if (place_clean(&draft.place, option_number(OPTION_KEEPDEAD))) {
        __atomic_store_n(&untidy, true, __ATOMIC_RELEASE);
        wake(tables.header);
    }
    return locked;
}

bool segment_tidy(void)
{
    static struct place_walk walk;
    if (!__atomic_load_n(&untidy, __ATOMIC_ACQUIRE))
        return false;
    /* The place changes only while somebody drafts. */
    bool more = true;
    if (!__atomic_exchange_n(&drafting, true, __ATOMIC_ACQUIRE)) {
        more = place_clean_on(&place, option_number(OPTION_KEEPDEAD), &walk);
        __atomic_store_n(&untidy, more, __ATOMIC_RELAXED);
        __atomic_store_n(&drafting, false, __ATOMIC_RELEASE);
    }
    return more;
}

static bool file_is_there(void)
{
    struct stat st;
    return !place.path[0] ||
           (stat(place.path, &st) == 0 && st.st_dev == file_dev && st.st_ino == file_ino);
}

/* A free may be published before the allocation that it undoes. */
uint64_t segment_in_use(void)
{
    uint64_t allocated = __atomic_load_n(&counters.alloc_bytes, __ATOMIC_RELAXED);
    uint64_t freed = __atomic_load_n(&counters.free_bytes, __ATOMIC_RELAXED);
    return allocated > freed ? allocated - freed : 0;
}

static void publish_counters(struct md_header *header, int64_t now)
{
    uint64_t in_use = segment_in_use();
    uint64_t peak = __atomic_load_n(&counters.peak_bytes, __ATOMIC_RELAXED);
    /* Threads publish at once: a lower peak must not overwrite a higher one. */
    while (in_use > peak && !__atomic_compare_exchange_n(&counters.peak_bytes, &peak, in_use, true,
                                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    __atomic_store_n(&counters.own_bytes, own_bytes(), __ATOMIC_RELAXED);
    __atomic_store_n(&counters.publish_ns, (uint64_t)now, __ATOMIC_RELAXED);
    /* Word by word: a reader may see a mixture of two publications, never half a number. */
    const uint64_t *from = (const uint64_t *)&counters;
    uint64_t *to = (uint64_t *)&header->counters;
    for (size_t i = 0; i < sizeof counters / sizeof *from; i++)
        __atomic_store_n(&to[i], __atomic_load_n(&from[i], __ATOMIC_RELAXED), __ATOMIC_RELAXED);
}

bool (*segment_move_lock)(bool take);

void segment_publish(uint64_t allocated_bytes)
{
    if (!segment_check())
        return;
    int64_t now = os_coarse_ns();
    if (past_due(now))
        past_publish(&tables, now);
    publish_counters(tables.header, now);
    if (__atomic_load_n(&is_file, __ATOMIC_RELAXED)
            ? now - __atomic_load_n(&looked_ns, __ATOMIC_RELAXED) < LOOK_NS
            : allocated_bytes < FILE_DUE_BYTES)
        return;
    if (option_number(OPTION_MONITOR) == 0 ||
        __atomic_exchange_n(&drafting, true, __ATOMIC_ACQUIRE))
        return;
    /* An allocation is no point of cancellation; what makes a file is. */
    int saved = errno, cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    /* A child of vfork would have the file made for itself, by its own /proc/self. */
    if (now - looked_ns >= LOOK_NS && !segment_is_guest()) {
        __atomic_store_n(&looked_ns, now, __ATOMIC_RELAXED);
        if ((!is_file || !file_is_there()) && !make_file())
            __atomic_store_n(&looked_ns, now - LOOK_NS + BUSY_NS, __ATOMIC_RELAXED);
    }
    pthread_setcancelstate(cancel, &cancel);
    errno = saved;
    __atomic_store_n(&drafting, false, __ATOMIC_RELEASE);
}

void segment_publish_options(void)
{
    if (!segment_check())
        return;
    lock_take(&segment_lock);
    options_to_header(tables.header);
    lock_release(&segment_lock);
}

/* Of what the copy itself has done there is nothing yet; the other counters go on. */
static void counters_postfork_child(void)
{
#define MD_COUNTER(name, since, kind, label, help)                                                 \
    if (MD_COUNTER_##kind == MD_COUNTER_OWN)                                                       \
        counters.name = 0;
#define MD_LOSS(name, since, what, remedy, help)
#include <memdebug/counters.def>
}

/* A forked copy: everything of the parent's is forgotten, but for what it counted. */
static void start_anew(void)
{
    lock_postfork_child(&segment_lock);
    past_postfork_child();
    if (moving) {
        memset(&tables, 0, sizeof tables);
        memset(&retired, 0, sizeof retired);
        moving = false;
    }
    struct tables inherited = tables;
    tables_destroy(&retired);
    if (drafting)
        forget_draft();
    is_file = kept = false;
    drafting = untidy = false;
    looked_ns = 0;
    identity.pid = 0;
    identity.flags |= MD_FLAG_FORKED;
    identity.flags &= ~(MD_FLAG_THREAD | MD_FLAG_REPORT);
    usable = tables_create_private(&tables, reservation());
    if (!usable)
        return;
    memcpy(tables.header, &identity, offsetof(struct md_header, section));
    options_to_header(tables.header);
    counters_postfork_child();
    if (segment_on_fork)
        segment_on_fork(&inherited);
    tables_destroy(&inherited);
}

void segment_postfork_child(void)
{
    if (canary)
        __atomic_store_n(&canary->process, (uint32_t)getpid(), __ATOMIC_RELAXED);
}

bool segment_is_guest(void)
{
    uint32_t process = canary ? __atomic_load_n(&canary->process, __ATOMIC_RELAXED) : 0;
    return process && process != (uint32_t)getpid();
}

/* By the first thread of the copy that gets here.  Others wait for it a while, though it may be
 * waiting for something that they hold; a signal handler in its midst does not. */
static COLD bool begin_copy(void)
{
    static const struct timespec nap = {0, 50000};
    uint32_t maker = 0, self = (uint32_t)os_gettid();
    int saved = errno;
    if (__atomic_compare_exchange_n(&canary->maker, &maker, self, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        if (!canary->process) /* made past the fork handlers */
            segment_postfork_child();
        start_anew();
        __atomic_store_n(&canary->known, 1, __ATOMIC_RELEASE);
    }
    for (int i = 0; maker && maker != self && i < COPY_NAPS && segment_forked(); i++)
        syscall(SYS_nanosleep, &nap, NULL); /* libc's is a point of cancellation */
    errno = saved;
    return !segment_forked() && usable;
}

bool segment_check(void)
{
    if (LIKELY(canary && __atomic_load_n(&canary->known, __ATOMIC_ACQUIRE)))
        return usable;
    return canary && usable && begin_copy();
}

void segment_disable(void)
{
    usable = false;
    if (canary)
        __atomic_store_n(&canary->known, 1, __ATOMIC_RELEASE);
}

bool segment_forked(void)
{
    return canary && !__atomic_load_n(&canary->known, __ATOMIC_ACQUIRE);
}

bool segment_show(void)
{
    if (!segment_check() || option_number(OPTION_MONITOR) == 0 ||
        __atomic_load_n(&is_file, __ATOMIC_RELAXED))
        return false;
    if (__atomic_exchange_n(&drafting, true, __ATOMIC_ACQUIRE))
        return true;
    bool done = is_file || make_file();
    __atomic_store_n(&drafting, false, __ATOMIC_RELEASE);
    return !done;
}

void segment_keep(void)
{
    if (!segment_check() || option_number(OPTION_MONITOR) == 0)
        return;
    kept = true;
    segment_set_flags(MD_FLAG_REPORT);
    /* Exit may have been called by a signal handler in the middle of our own work, or while a
     * thread of ours is stuck in it: then a file that is there stays, and none is made. */
    if (!lock_held_here())
        segment_show();
}

void segment_fini(void)
{
    if (is_file && !segment_forked() && (uint32_t)getpid() == identity.pid && place.path[0] &&
        file_is_there()) {
        publish_counters(tables.header, os_coarse_ns());
        __atomic_fetch_or(&tables.header->flags, MD_FLAG_EXITED, __ATOMIC_RELEASE);
        if (!kept)
            unlink(place.path);
    }
}

void segment_hold(bool hold)
{
    if (hold)
        lock_take(&segment_lock);
    else
        lock_release(&segment_lock);
}

struct md_header *segment_header(void)
{
    return tables.header;
}

size_t segment_size(void)
{
    return tables.size;
}

struct md_counters *segment_counters(void)
{
    return &counters;
}

const struct md_header *segment_identity(void)
{
    if (!__atomic_load_n(&identity.pid, __ATOMIC_ACQUIRE))
        identify();
    return &identity;
}

void segment_set_flags(uint32_t flags)
{
    __atomic_fetch_or(&identity.flags, flags, __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&tables.header->flags, flags, __ATOMIC_SEQ_CST);
}

void segment_clear_flags(uint32_t flags)
{
    segment_hold(true); /* who moves the tables copies these */
    __atomic_fetch_and(&identity.flags, ~flags, __ATOMIC_SEQ_CST);
    __atomic_fetch_and(&tables.header->flags, ~flags, __ATOMIC_SEQ_CST);
    segment_hold(false);
}

void *segment_table(enum md_section_id id)
{
    return tables.table[id];
}

uint64_t segment_capacity(enum md_section_id id)
{
    return tables.capacity[id];
}

bool segment_grow(enum md_section_id id, uint64_t count)
{
    return LIKELY(count <= tables.grown[id]) || tables_grow(&tables, id, count);
}

void segment_set_count(enum md_section_id id, uint64_t count)
{
    tables_set_count(&tables, id, count);
}

uint64_t segment_count(enum md_section_id id)
{
    return __atomic_load_n(&tables.count[id], __ATOMIC_ACQUIRE);
}

void segment_add_cycle(struct md_cycle *cycle)
{
    if (!segment_check())
        return;
    int64_t now = os_coarse_ns();
    lock_take(&segment_lock);
    if (past_due(now))
        past_publish(&tables, now);
    past_cycle(cycle);
    uint64_t index = tables.count[MD_SECTION_CYCLES];
    uint64_t capacity = tables.capacity[MD_SECTION_CYCLES];
    cycle->index = index;
    if (cycle->flags & MD_CYCLE_SKIPPED)
        counters.skips++;
    else
        cycle->number = ++counters.cycles;
    if (tables_grow(&tables, MD_SECTION_CYCLES, MIN(index + 1, capacity))) {
        struct md_cycle *slot =
            (struct md_cycle *)tables.table[MD_SECTION_CYCLES] + index % capacity;
        uint32_t seq = slot->seq | 1;
        __atomic_store_n(&slot->seq, seq, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_RELEASE);
        memcpy((char *)slot + sizeof slot->seq, (char *)cycle + sizeof slot->seq,
               sizeof *slot - sizeof slot->seq);
        __atomic_store_n(&slot->seq, seq + 1, __ATOMIC_RELEASE);
        segment_set_count(MD_SECTION_CYCLES, index + 1);
    }
    publish_counters(tables.header, now);
    lock_release(&segment_lock);
}
