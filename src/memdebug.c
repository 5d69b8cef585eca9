/* Wiring: what happens at the first allocation, at load, at fork and at exit.  The modules below do
 * not know each other; their hooks are set here. */
#include "base/compiler.h"
#include "base/fmt.h"
#include "base/lock.h"
#include "base/message.h"
#include "base/options.h"
#include "base/os.h"
#include "dump.h"
#include "gc/gc.h"
#include "heap/extents.h"
#include "heap/object_map.h"
#include "leakcheck.h"
#include "limit.h"
#include "malloc/account.h"
#include "malloc/bases.h"
#include "malloc/counts.h"
#include "malloc/entry.h"
#include "malloc/foreign.h"
#include "malloc/jemalloc.h"
#include "malloc/metadata.h"
#include "malloc/mmap.h"
#include "malloc/ours.h"
#include "malloc/passed.h"
#include "malloc/slabs.h"
#include "malloc/startup.h"
#include "malloc/stats.h"
#include "malloc/variants.h"
#include "memdebug/memdebug.h"
#include "pinned.h"
#include "prof/prof.h"
#include "requests.h"
#include "scavtrace.h"
#include "segment/segment.h"
#include "service.h"
#include "stack/loaded.h"
#include "stack/unwind.h"
#include "thread_place.h"
#include "trace_file.h"
#include "view/gctrace.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

extern void *__libc_stack_end;

/* This process is watched: its malloc is ours, and neither `only` nor `follow` exclude it. */
static bool active;
/* The malloc is another's and a leak check was asked for: that it was not done is left to say. */
static bool unchecked;
static bool tracked; /* the variant */
static enum gc_mode gc_mode = GC_OFF;
static const char *no_gc = "gc=off"; /* why there are no cycles, if there are none */
/* Requests start a thread of ours where there is none.  Not where `gc=off` was said. */
static bool askable;

static bool in_list(const char *list, const char *name)
{
    while (*list) {
        size_t length = strcspn(list, ":");
        if (strlen(name) == length && strncmp(list, name, length) == 0)
            return true;
        list += length + (list[length] == ':');
    }
    return false;
}

/* By the name it was started by, or by the executable's own. */
static bool named_by_only(void)
{
    const char *list = option_text(OPTION_ONLY);
    char name[256], exe[512];
    if (!*list)
        return true;
    os_program_name(name, sizeof name);
    os_executable(exe, sizeof exe);
    const char *slash = strrchr(exe, '/');
    return in_list(list, name) || in_list(list, slash ? slash + 1 : exe);
}

/* Whoever asks for leaks at exit wants them all, each with its stack, as LeakSanitizer tells them.
 */
static void prepare_leakcheck(void)
{
    if (!active || !option_number(OPTION_LEAKCHECK))
        return;
    leakcheck_boot();
    if (gc_mode != GC_OFF && !option_given(OPTION_MEMPROFILERATE))
        option_set("memprofilerate", "1");
}

static bool wants_leakcheck(void)
{
    return option_number(OPTION_LEAKCHECK);
}

static bool wants_service(void)
{
    return gc_mode != GC_OFF || *option_text(OPTION_HEAPPROFILE) ||
           option_number(OPTION_HEAPPROFILESIGNAL) != OPTION_OFF ||
           option_number(OPTION_HEAPPROFILEPEAK) != OPTION_OFF ||
           option_number(OPTION_HEAPPROFILELIMIT) != OPTION_OFF || option_number(OPTION_SCAVTRACE);
}

/* Whether anybody can learn what would be recorded: memtop, or the process itself, which writes it
 * or has asked for samples that it will get by md_heap_profile; or there is more to do than that.
 */
static bool is_of_use(void)
{
    return option_number(OPTION_MONITOR) || wants_service() || option_number(OPTION_LEAKCHECK) ||
           option_number(OPTION_HELP) || option_given(OPTION_MEMPROFILERATE) ||
           option_number(OPTION_CLOBBERFREE);
}

static void no_tracing(const char *reason)
{
    message(reason);
    tracked = false;
    gc_mode = GC_OFF;
    no_gc = reason;
}

/* Of the ways to look at a heap only wp does, which Linux has since 6.7 (0: it does not say). */
#define LINUX_6_7 0x60700u
static bool needs_object_map(void)
{
    uint64_t engine = option_number(OPTION_GCENGINE);
    return !metadata_is_known() || engine == GCENGINE_WP ||
           (engine == GCENGINE_AUTO && os_linux_version() - 1 >= LINUX_6_7 - 1);
}

static bool wants_tracked(void)
{
    uint64_t rate = option_number(OPTION_MEMPROFILERATE);
    /* jemalloc fills what is freed, but for a block that realloc has moved: those this variant
     * moves by free. */
    return (gc_mode != GC_OFF && needs_object_map()) || (rate > 0 && rate < PROF_PLAIN_MIN_RATE) ||
           option_number(OPTION_CLOBBERFREE);
}

static void on_cycle(const struct md_cycle *cycle)
{
    char line[GCTRACE_JSON_SIZE];
    const struct md_header *who = segment_identity();
    uint64_t form = option_number(OPTION_GCTRACE);
    if (form == GCTRACE_OFF)
        return;
    size_t length =
        form == GCTRACE_NDJSON
            ? gctrace_format_json(GCTRACE_EXACT, cycle, who->pid, who->name, line, sizeof line)
            : gctrace_format(cycle, who->pid, who->name, line, sizeof line);
    trace_file_line(line, length);
}

static struct gc_hooks gc_hooks(void)
{
    return (struct gc_hooks){.in_use_bytes = segment_in_use,
                             .on_cycle = on_cycle,
                             .block_size = metadata_block_size,
                             .allocated = metadata_is_known() ? metadata_enter : NULL,
                             .sample_moment = prof_moment,
                             .on_samples = prof_flag,
                             .on_unsampled = prof_unsampled};
}

/* What at_load does for cycles, later and on our thread, with all signals blocked.  The mode stays
 * off: a forked child is as its parent was before somebody asked. */
static bool begin_cycles(void)
{
    const struct gc_hooks hooks = gc_hooks();
    if (!askable || gc_absent())
        return false;
    gc_init_late(&hooks, tracked ? NULL : metadata_init());
    segment_set_flags(MD_FLAG_GC);
    return true;
}

/* Each 64 KiB of a thread: the one place where the allocation path may wake our thread for a cycle
 * or a dump. */
static void on_publish(void)
{
    if (UNLIKELY(service_asked() || pinned_is_under_way()))
        service_answer_here();
    uint64_t in_use = segment_in_use();
    uint64_t allocated = __atomic_load_n(&segment_counters()->alloc_bytes, __ATOMIC_RELAXED);
    if (UNLIKELY((gc_mode == GC_OBSERVE && in_use >= gc_ask_bytes()) ||
                 dump_asks(allocated, in_use) || limit_asks(in_use)))
        service_kick(SERVICE_LOOK);
}

#ifdef HOSTILE_ALLOCATIONS
static void on_hostile(void)
{
    if (gc_mode != GC_OFF)
        service_kick(SERVICE_CYCLE);
}
#endif

/* A main thread that ends by pthread_exit: the process lives on until its last thread ends, and
 * ours must not be that. */
static void on_thread_end(void)
{
    if (service_runs() && os_gettid() == getpid())
        service_outlives_main();
}

/* In a forked child our thread is started again by the first sample: a child that only execs never
 * gets there. */
static bool in_child;
static pid_t renewed_pid; /* the copy that after_fork has been called in last */

static void on_sample(void)
{
    if (UNLIKELY(in_child) && wants_service() && !segment_is_guest() && service_start())
        in_child = false;
}

/* What fork is being called in: a copy of one thread among several may find locks of the loader's
 * held for ever, which creating a thread takes, and what the others had in their caches is lost to
 * it.  UNKNOWN: fork's handlers are passed by. */
static enum { UNKNOWN, ALONE, AMONG_OTHERS } forking;

static void before_fork(void)
{
    if (askable)
        forking = thread_place_alone() ? ALONE : AMONG_OTHERS;
    prof_before_fork();
}

static void after_fork_in_parent(void)
{
    prof_after_fork();
    forking = UNKNOWN;
}

static void after_fork(void)
{
    own_thread = false;
    segment_postfork_child();
    unchecked = false;
    in_child = true;
    askable = askable && forking == ALONE;
    forking = UNKNOWN;
    renewed_pid = getpid();
    prof_postfork_child();
    message_release();
    startup_postfork_child();
    extents_postfork_child();
    bases_postfork_child();
    account_postfork_child();
    pinned_postfork_child();
    gc_postfork_child();
    ours_postfork_child();
    service_postfork_child();
    dump_postfork_child();
    limit_postfork_child();
    scavtrace_postfork_child();
    trace_file_postfork_child();
    leakcheck_postfork_child();
    if (option_number(OPTION_FOLLOW) == FOLLOW_NONE)
        segment_disable();
}

/* The segment has found out that this is a copy: it may have been made past the fork handlers. */
static void on_copy(const struct tables *parent)
{
    if (renewed_pid != getpid())
        after_fork();
    /* Begun for a request, cycles begin anew for the next. */
    segment_clear_flags((askable ? 0 : MD_FLAG_ASKABLE) | (gc_mode == GC_OFF ? MD_FLAG_GC : 0));
    prof_inherit(parent);
}

/* For the first of a process tree alone: the others are often its own executable again. */
static void say_foreign(char *text)
{
    char line[FOREIGN_REASON_SIZE];
    if (!options_first_in_tree(text))
        return;
    foreign_reason(line, sizeof line);
    message(line);
    unchecked = option_number(OPTION_LEAKCHECK);
    if (unchecked)
        leakcheck_boot();
}

/* What MEMDEBUG says, in the environment's own bytes.  Before libc has set itself up `environ` does
 * not lead there: it lies where the kernel has put it, behind the arguments and their NULL. */
static char *own_text(void)
{
    static const char key[] = "MEMDEBUG=";
    if (environ || getauxval(AT_SECURE))
        return secure_getenv("MEMDEBUG");
    long count = *(long *)__libc_stack_end;
    for (char **at = (char **)__libc_stack_end + 1 + count + 1; *at; at++)
        if (strncmp(*at, key, sizeof key - 1) == 0)
            return *at + sizeof key - 1;
    return NULL;
}

/* The first call of any exported function: there is one thread, libc may not have been set up yet
 * (a resolver of an IFUNC allocates), and whatever is allocated here would come back here. */
void memdebug_boot(void)
{
    static bool booted;
    if (__atomic_exchange_n(&booted, true, __ATOMIC_ACQ_REL))
        return;
    int saved = errno;
    const char *reason = NULL;
    message_init();
    loaded_begin();
    entry_choose(false);
    char *text = own_text();
    bool exec_child = options_parse(text);
    limit_begin(!exec_child);
    active = named_by_only() && !(exec_child && option_number(OPTION_FOLLOW) != FOLLOW_ALL);
    if (foreign_malloc()) {
        if (active)
            say_foreign(text);
        if (foreign_is_glibc())
            entry_leave_seconds();
        entry_follow_foreign();
        active = false;
    }
    if (active)
        leakcheck_unasked(text);
    gc_mode = active ? option_gc() : GC_OFF;
    if (active && gc_mode == GC_OFF && option_number(OPTION_GCTRACE) != GCTRACE_OFF)
        message("gctrace has no lines to print: gc=off");
    active = active && is_of_use();
    if (active && text && *text)
        passed_note();
    if (gc_mode != GC_OFF && gc_absent())
        no_tracing(gc_absent());
    askable = active && !(option_given(OPTION_GC) && option_number(OPTION_GC) == GC_OFF);
    prepare_leakcheck();
    tracked = active && wants_tracked();
    if (tracked && (!object_map_init(&reason) || !entry_can_track()))
        no_tracing(reason ? reason
                          : "no tracing: the page of malloc could not be replaced (mremap)");
    if (tracked || gc_mode != GC_OFF)
        extents_adopt_all();
    jemalloc_configure(tracked  ? JEMALLOC_TRACKED
                       : active ? JEMALLOC_SAMPLED
                                : JEMALLOC_UNWATCHED,
                       active && option_number(OPTION_CLOBBERFREE));
    if (tracked && !jemalloc_learn_classes())
        no_tracing("this jemalloc does not tell its size classes: no tracing");
    if (active &&
        (counts_init() != 0 ||
         !segment_init(MD_FLAG_SETS | (askable ? MD_FLAG_ASKABLE : 0u) |
                       (tracked ? MD_FLAG_TRACKED : 0u) | (gc_mode != GC_OFF ? MD_FLAG_GC : 0u)))) {
        /* jemalloc's profiler, if it was asked for, finds no samples due. */
        if (text && *text)
            message("no memory for the tables: the process is not watched");
        option_set("memprofilerate", "0");
        segment_disable();
        active = tracked = false;
        gc_mode = GC_OFF;
    }
    if (active) {
        bases_init();
        slabs_init();
        prof_init();
        rate_init(!tracked);
        segment_on_fork = on_copy;
        prof_on_sample = on_sample;
        counts_on_publish = on_publish;
        service_wanted = wants_service;
        requests_begin_cycles = begin_cycles;
    }
    counts_on_thread_end = on_thread_end;
    if (tracked) {
#ifdef HOSTILE_ALLOCATIONS
        tracked_hostile = on_hostile;
#endif
        entry_choose(true);
    } else if (gc_mode != GC_OFF) {
        metadata_be_exact();
    }
    pthread_atfork(before_fork, after_fork_in_parent, after_fork);
    errno = saved;
}

static void on_dump_signal(int signal)
{
    (void)signal;
    service_kick(SERVICE_DUMP_SIGNAL);
}

static void install_dump_signal(void)
{
    uint64_t number = option_number(OPTION_HEAPPROFILESIGNAL);
    struct sigaction action = {.sa_handler = on_dump_signal, .sa_flags = SA_RESTART};
    if (number == OPTION_OFF)
        return;
    sigfillset(&action.sa_mask);
    sigaction((int)number, &action, NULL);
}

static void help_line(const char *text)
{
    char line[512];
    struct fmt f = fmt_on(line, sizeof line);
    fmt_text(&f, text);
    fmt_char(&f, '\n');
    message_write(line, f.length);
}

static void finish(const void *above)
{
    static bool ended;
    if (!(active || unchecked) || __atomic_exchange_n(&ended, true, __ATOMIC_ACQ_REL))
        return;
    if (unchecked) {
        char reason[FOREIGN_REASON_SIZE];
        foreign_reason(reason, sizeof reason);
        leakcheck_failed(reason);
        return;
    }
    /* A copy that has recorded nothing, as most children of a shell, has nothing to leave: making
     * tables of its own would double the cost of the fork. */
    if (segment_forked() && !wants_service())
        return;
    if (!segment_check()) {
        if (wants_leakcheck() && option_number(OPTION_FOLLOW) != FOLLOW_NONE)
            leakcheck_failed("no memory for the tables");
        return;
    }
    const struct md_counters *c = segment_counters();
    message_ending();
    /* A signal handler has called exit, in the middle of our own work on this thread: what holds
     * the lock will not go on, and whoever waits for it would wait for ever. */
    if (lock_held_here()) {
        if (*option_text(OPTION_HEAPPROFILE))
            message("exit was called by a signal handler in the middle of a sample: no profile");
        if (wants_leakcheck())
            leakcheck_failed("exit was called by a signal handler in the middle of a sample");
        segment_fini();
        return;
    }
    bool leaks = wants_leakcheck() && gc_mode != GC_OFF;
    if (wants_leakcheck() && !leaks)
        leakcheck_failed(no_gc);
    else if (leaks)
        leaks = service_do(JOB_EXIT_LEAK_CYCLES, NULL, above) == 0;
    else if (gc_mode == GC_OBSERVE && c->cycles == 0)
        service_do(JOB_EXIT_CYCLE, NULL, above);
    if (*option_text(OPTION_HEAPPROFILE) && option_number(OPTION_HEAPPROFILEEXIT))
        service_do(JOB_EXIT_DUMP, NULL, above);
    if (leaks)
        service_do(JOB_EXIT_LEAKS, NULL, above);
    counts_publish();
    service_end();
    segment_fini();
}

static int at_end(const void *above)
{
    finish(above);
    return 0;
}

/* quick_exit runs no other handler after this one, the first that was registered, and flushes
 * nothing. */
static void at_quick_end(void)
{
    gc_spill(at_end);
    if (leakcheck_exit_code())
        _exit(leakcheck_exit_code());
}

/* Registered before the loader's own handler, which runs all destructors, so it comes after these:
 * the last of all.  What exit has still to do is to flush what stdio holds.  A handler that calls
 * exit changes the status, and glibc goes on where it was ("we use the status value in the last
 * exit"); flushing by ourselves could block on a stream that another thread has locked. */
static void at_last(int status, void *unused)
{
    (void)unused;
    int code = leakcheck_exit_code();
    if (code && code != status)
        exit(code);
}

static void register_exit(void)
{
    at_quick_exit(at_quick_end);
    if (wants_leakcheck())
        on_exit(at_last, NULL);
}

/* Before jemalloc's own constructor, which would initialise it without our settings. */
static __attribute__((constructor(101))) void boot_first(void)
{
    memdebug_boot();
}

static __attribute__((constructor)) void at_load(void)
{
    sigset_t all, before;
    passed_init();
    mmap_init();
    common_init();
    if (unchecked)
        register_exit();
    if (!active)
        return;
    /* The loader is asked here: no signal handler may, meanwhile. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    unwind_init();
    if (option_number(OPTION_MMAPPROFILE))
        mmap_record();
    if (option_number(OPTION_MONITOR)) /* without, no call beyond jemalloc's */
        startup_load();
    if (option_number(OPTION_HELP))
        options_help(help_line);
    bool traces =
        option_number(OPTION_GCTRACE) != GCTRACE_OFF || option_number(OPTION_SCAVTRACE) != 0;
    if (wants_leakcheck() || (traces && !*option_text(OPTION_GCTRACEFILE)))
        message_keep();
    trace_file_init(traces);
    dump_init();
    leakcheck_init();
    install_dump_signal();
    register_exit();
    const char *reason = gc_mode != GC_OFF && !tracked ? metadata_init() : NULL;
    if (reason) {
        no_tracing(reason);
        segment_clear_flags(MD_FLAG_GC);
    }
    const struct gc_hooks hooks = gc_hooks();
    if (gc_mode != GC_OFF)
        gc_init(&hooks);
    service_paces = gc_mode == GC_OBSERVE;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (wants_service())
        service_start();
}

static __attribute__((destructor)) void at_unload(void)
{
    gc_spill(at_end);
}

EXPORT const char *md_version(void)
{
    return MEMDEBUG_VERSION;
}

EXPORT int md_set(const char *key, const char *value)
{
    int error = key && value ? option_set(key, value) : EINVAL;
    if (error || !active || !segment_check())
        return error;
    segment_publish_options();
    rate_renew();
    if (tracked)
        tracked_redraw();
    else
        plain_redraw();
    service_kick(SERVICE_LOOK);
    return 0;
}

static int run_cycle(const void *above)
{
    return service_do(JOB_CYCLE, NULL, above);
}

EXPORT int md_gc(void)
{
    if (!active || gc_mode == GC_OFF)
        return ENOTSUP;
    return gc_spill(run_cycle);
}

EXPORT int md_free_os_memory(void)
{
    memdebug_boot();
    if (foreign_malloc())
        return ENOTSUP;
    stats_give_back();
    return 0;
}

EXPORT int md_heap_profile(const char *path)
{
    if (!active)
        return ENOTSUP;
    return path && *path ? service_do(JOB_DUMP_TO, path, NULL) : EINVAL;
}
