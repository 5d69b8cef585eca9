#include "stack/unwind.h"

#include "base/compiler.h"
#include "base/options.h"
#include "base/os.h"
#include "memdebug/segment.h"
#include "stack/loaded.h"
#include "stack/unwinder.h"

#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <string.h>

extern void *__libc_stack_end;

#define PC_MIN OS_PAGE_MIN /* no code lies in the first page */

/* Written by unwind_init, before it sets `ready` (release). */
uintptr_t own_text_start, own_text_end;
static bool ready;
static bool has_tables; /* libunwind can be used */

/* libunwind makes a thread-specific key at its first stack, and sets it inside an allocation at
 * each thread's first.  Setting a key above 31 allocates, and if that very allocation is the one
 * that is sampled, glibc's two tables for the thread replace one another.  So a low key is kept for
 * it from the start, and given up just before. */
static pthread_key_t kept_key;
static bool key_kept;

static void give_up_key(void)
{
    if (__atomic_load_n(&key_kept, __ATOMIC_RELAXED) &&
        __atomic_exchange_n(&key_kept, false, __ATOMIC_ACQ_REL))
        pthread_key_delete(kept_key);
}

/* The first byte of this library's ELF header, by the linker. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

static void find_own_text(void)
{
    uintptr_t base = (uintptr_t)&__ehdr_start;
    const ElfW(Phdr) *phdr = (const void *)(base + __ehdr_start.e_phoff);
    for (int i = 0; i < __ehdr_start.e_phnum; i++)
        if (phdr[i].p_type == PT_LOAD && (phdr[i].p_flags & PF_X)) {
            own_text_start = base + phdr[i].p_vaddr;
            own_text_end = own_text_start + phdr[i].p_memsz;
        }
}

/* Steps out of this library, whose code keeps no frame pointers, and follows them from there.  A
 * frame must lie above the last one and below the stack's end: the thread's control block lies
 * there in a thread's stack, __libc_stack_end in the main thread's.  From a coroutine's stack the
 * way there is not all memory, and where no frame pointer is kept the register holds anything: a
 * page is asked for before it is read. */
static NO_SANITIZE NOINLINE int walk_frames(void **pcs, int most)
{
    unw_context_t context;
    unw_cursor_t cursor;
    unw_word_t pc, fp;
    int n = 0;
    if (unwinder_here(&context) < 0 || unwinder.init_local(&cursor, &context) < 0)
        return 0;
    for (int own = 0;; own++) {
        if (unwinder.get_reg(&cursor, UNW_REG_IP, &pc) < 0)
            return 0;
        if (pc - own_text_start >= own_text_end - own_text_start)
            break;
        if (own == UNWIND_OWN_FRAMES || unwinder.step(&cursor) <= 0)
            return 0;
    }
    pcs[n++] = (void *)pc;
    if (unwinder.get_reg(&cursor, UNWINDER_FRAME_POINTER, &fp) < 0)
        return n;
    uintptr_t last = (uintptr_t)__builtin_frame_address(0);
    uintptr_t end = (uintptr_t)__builtin_thread_pointer();
    if (last > end || end - last > (1ull << 32))
        end = (uintptr_t)__libc_stack_end;
    while (n < most && fp > last && (fp & 7) == 0 && fp + 16 <= end && end - fp < (1ull << 32)) {
        if ((fp + 8) / OS_PAGE_MIN != (last + 8) / OS_PAGE_MIN &&
            !(os_can_read(fp) && os_can_read(fp + 8)))
            break;
        pc = machine_code_address(((uintptr_t *)fp)[1]);
        if (pc < PC_MIN)
            break;
        pcs[n++] = (void *)pc;
        last = fp;
        fp = *(uintptr_t *)fp;
    }
    return n;
}

/* unw_backtrace keeps what it has learnt of frames in 256 KiB for each thread that calls it: 0.5 us
 * a stack instead of 0.5 to 1 us a frame, and 64 MB in a program of 256 threads.  So a thread gets
 * it when its frames come fast enough for that to be felt; walking frame by frame costs one below
 * that limit at most 0.3 % of a CPU. */
#define FAST_FRAMES 256
#define FAST_WITHIN_NS INT64_C(80000000)

static THREAD_LOCAL struct {
    int64_t since_ns;
    unsigned frames;
    bool fast;
} thread;

static void count_frames(unsigned frames)
{
    thread.frames += frames;
    if (thread.frames < FAST_FRAMES)
        return;
    int64_t now = os_coarse_ns();
    thread.fast = UNWINDER_SAME && now - thread.since_ns < FAST_WITHIN_NS;
    thread.since_ns = now;
    thread.frames = 0;
}

/* Of an address that it has no information about, libunwind says that its function is one byte. */
static bool is_described(unw_cursor_t *cursor)
{
    unw_proc_info_t info;
    return unwinder.get_proc_info(cursor, &info) >= 0 && info.end_ip - info.start_ip > 1;
}

static NOINLINE int walk_steps(void **pcs, int most, bool certain, bool *ended)
{
    unw_context_t context;
    unw_cursor_t cursor;
    unw_word_t pc;
    int n = 0;
    if (unwinder_here(&context) < 0 || unwinder.init_local(&cursor, &context) < 0)
        return 0;
    do {
        if (unwinder.get_reg(&cursor, UNW_REG_IP, &pc) < 0)
            break;
        pcs[n++] = (void *)pc;
        if (certain && !is_described(&cursor)) {
            *ended = true;
            break;
        }
    } while (n < most && unwinder.step(&cursor) > 0);
    count_frames((unsigned)n);
    return n;
}

static int walk(void **pcs, int most, bool certain, bool *ended)
{
    if (certain)
        return walk_steps(pcs, most, true, ended);
    if (option_number(OPTION_UNWIND) == UNWIND_FP)
        return walk_frames(pcs, most);
    return thread.fast ? unwinder.backtrace(pcs, most) : walk_steps(pcs, most, false, ended);
}

unsigned unwind_stack(uint64_t *pcs, unsigned most, bool certain, bool *truncated)
{
    /* Gathered where they will lie, not on this stack, which may be a coroutine's. */
    void **raw = (void **)pcs;
    most = MIN(most, MD_STACK_MAX_DEPTH);
    give_up_key();
    *truncated = false;
    if (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE) || !has_tables)
        return 0;
    int asked = (int)most + UNWIND_OWN_FRAMES;
    bool ended = false;
    unwinder_enter();
    int got = walk(raw, asked, certain, &ended), first = 0;
    unwinder_leave();
    while (first < got && (uintptr_t)raw[first] - own_text_start < own_text_end - own_text_start)
        first++;
    unsigned n = 0;
    while (first < got && n < most && raw[first])
        pcs[n++] = (uint64_t)(uintptr_t)raw[first++];
    *truncated = ended || (first < got && raw[first]);
    return n;
}

void unwind_init(void)
{
    find_own_text();
    loaded_init();
    key_kept = pthread_key_create(&kept_key, NULL) == 0;
    has_tables = unwinder_init();
    __atomic_store_n(&ready, true, __ATOMIC_RELEASE);
}
