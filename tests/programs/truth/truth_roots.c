/* Every place outside of the heap that can hold the only pointer to a block; and the places that
 * nobody can look into. */
#include "truth.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <search.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* LeakSanitizer's roots are modules' data, stacks, registers and TLS. */

/* ------------------------------------------------------------------------- modules' data */

/* volatile: the compiler must not see that nobody reads them. */
static void *volatile in_data = (void *)0x10; /* .data: its first value is not zero */
static void *volatile in_bss;
static void *volatile in_bss_table[5000];
static uint32_t packed_pair[4];

static void in_data_body(void)
{
    in_data = chain(10, LIVE, LIVE);
}

static void in_bss_body(void)
{
    in_bss = chain(10, LIVE, LIVE);
    for (int i = 0; i < 5000; i += 50)
        in_bss_table[i] = object((size_t)(16 + i), LIVE);
}

/* A page of .data that the program has made read-only since, as RELRO is. */
static struct {
    void *p;
    char rest[4096 - sizeof(void *)];
} read_only_page __attribute__((aligned(4096))) = {(void *)0x10, ""};

static void read_only_body(void)
{
    read_only_page.p = chain(3, LIVE, LIVE);
    mprotect(&read_only_page, sizeof read_only_page, PROT_READ);
}

static void dropped_body(void)
{
    in_bss = chain(10, DIRECT, INDIRECT);
    in_bss = NULL;
}

static void *plugin;
static void **plugin_data, **plugin_zero;
static void (*plugin_set_tls)(void *);

static void open_plugin(void)
{
    plugin = dlopen(truth_plugin, RTLD_NOW);
    if (!plugin)
        abort();
    plugin_data = dlsym(plugin, "plugin_data");
    plugin_zero = dlsym(plugin, "plugin_zero");
    *(void **)&plugin_set_tls = dlsym(plugin, "plugin_set_tls");
    plugin_set_tls(NULL);
}

static void plugin_data_body(void)
{
    *plugin_data = chain(4, LIVE, LIVE);
    plugin_zero[11] = chain(5, LIVE, LIVE);
}

static void plugin_tls_body(void)
{
    plugin_set_tls(chain(4, LIVE, LIVE));
}

/* The library is closed, with what only it knew of. */
NOINLINE static void fill_plugin(void)
{
    *plugin_data = chain(4, DIRECT, INDIRECT);
    plugin_zero[3] = chain(2, DIRECT, INDIRECT);
}

static void closed_warm_up(void)
{
    /* What the loader keeps after a first dlopen and dlclose. */
    open_plugin();
    dlclose(plugin);
    open_plugin();
}

static void closed_body(void)
{
    fill_plugin();
    dlclose(plugin);
    truth_live_open(); /* the loader's own blocks went with it */
}

/* -------------------------------------------------------------------------------- stacks */

static void stack_body(void)
{
    void *volatile here = chain(3, LIVE, LIVE);
    look();
    (void)here;
}

NOINLINE static void deep(int depth, void *held)
{
    void *volatile mine = held;
    char room[2000];
    __asm__ volatile("" : : "r"(room) : "memory");
    if (depth)
        deep(depth - 1, object(32, LIVE));
    else
        look();
    (void)mine;
}

static void deep_stack_body(void)
{
    deep(500, object(32, LIVE));
}

static void array_body(void)
{
    void *volatile table[100];
    for (int i = 0; i < 100; i++)
        table[i] = object(48, LIVE);
    look();
    (void)table[0];
}

/* A place of a frame still there, though the program is done with what it held. */
static void stale_slot_body(void)
{
    void *volatile done = object(64, LIVE);
    look();
    (void)done;
}

/* A frame that is gone: below the stack pointer nothing is alive. */
NOINLINE static void leave_in_frame(void)
{
    void *volatile table[1000];
    for (int i = 0; i < 1000; i++)
        table[i] = NULL;
    table[7] = object(64, DIRECT);
    __asm__ volatile("" : : "r"(table) : "memory");
}

extern int md_gc(void) __attribute__((weak));

static void dead_frame_body(void)
{
    leave_in_frame();
    /* look() would overwrite it: this cycle sees the dead frame as it was left */
    if (md_gc)
        look_once();
}

NOINLINE static uintptr_t hidden_object(size_t size, enum fate fate)
{
    return hide(object(size, fate));
}

/* The same between the frames of who waits for a cycle: there is nothing of the program's. */
static void frames_of_ours_body(void)
{
    truth_litter = hidden_object(64, DIRECT);
}

static jmp_buf jump;

NOINLINE static void set_jump(uintptr_t hidden)
{
    /* setjmp keeps rbx, r12-r15 as they are (rbp, rsp and rip are mangled). */
    __asm__ volatile("mov %[hidden], %%r12\n xor %[mask], %%r12\n lea %[jump], %%rdi\n"
                     "call _setjmp@PLT\n xor %%r12d, %%r12d\n" ::[hidden] "r"(hidden),
                     [mask] "r"(MASK), [jump] "m"(jump)
                     : "r12", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory",
                       "cc");
}

static void jmp_buf_body(void)
{
    set_jump(hidden_object(64, LIVE));
}

/* ------------------------------------------------------------------------ mapped memory */

static void *pool;

static void map_pool(void)
{
    pool = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                -1, 0);
}

static void pool_body(void)
{
    for (int i = 0; i < 100; i++)
        ((void **)pool)[i * 70001] = chain(3, LIVE, LIVE);
}

static void pool_read_only_body(void)
{
    ((void **)pool)[1000] = chain(3, LIVE, LIVE);
    mprotect(pool, 64 << 20, PROT_READ);
}

static void pool_unmapped_body(void)
{
    ((void **)pool)[1000] = chain(3, DIRECT, INDIRECT);
    munmap(pool, 64 << 20);
}

static void map_shared(void)
{
    pool = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* No other process could use the address; memory shared with others is not looked at. */
static void shared_body(void)
{
    ((void **)pool)[1000] = chain(3, DIRECT, INDIRECT);
}

static void map_file(void)
{
    char path[] = "/tmp/mdtruth-XXXXXX";
    int fd = mkstemp(path);
    unlink(path);
    if (fd < 0 || ftruncate(fd, 1 << 16) != 0)
        abort();
    pool = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    close(fd);
}

static void private_file_body(void)
{
    ((void **)pool)[1000] = chain(3, LIVE, LIVE);
}

/* As V8 keeps its heap: no forked copy has it. */
static void map_unforked(void)
{
    map_pool();
    if (madvise(pool, 64 << 20, MADV_DONTFORK) != 0)
        abort();
}

/* The only pointer is the operand of an instruction: mov $address, %rax. */
static void jit_body(void)
{
    unsigned char *code = (unsigned char *)pool;
    for (int i = 0; i < 20; i++, code += 1003) {
        void *p = chain(3, LIVE, LIVE);
        code[0] = 0x48;
        code[1] = 0xb8;
        memcpy(code + 2, &p, sizeof p);
    }
    mprotect(pool, 64 << 20, PROT_READ | PROT_EXEC);
}

static void jit_writable_body(void)
{
    jit_body();
    mprotect(pool, 64 << 20, PROT_READ | PROT_WRITE | PROT_EXEC);
}

static void brk_body(void)
{
    void **more = sbrk(65536);
    more[100] = chain(3, LIVE, LIVE);
}

static void no_access_body(void)
{
    ((void **)pool)[1000] = chain(3, DIRECT, INDIRECT);
    mprotect(pool, 64 << 20, PROT_NONE);
}

static void write_only_body(void)
{
    ((void **)pool)[1000] = chain(3, LIVE, LIVE);
    mprotect(pool, 64 << 20, PROT_WRITE);
}

/* --------------------------------------------------------------------- what libc holds */

static void environ_body(void)
{
    putenv(counted(strdup("MEMDEBUG_TRUTH=a string of the program's own"), LIVE));
}

static void warm_environ(void)
{
    setenv("MEMDEBUG_TRUTH", "x", 1); /* libc's array moves into the heap */
}

static void no_exit(int status, void *argument)
{
    (void)status, (void)argument;
}

static void on_exit_body(void)
{
    on_exit(no_exit, chain(3, LIVE, LIVE));
}

static FILE *volatile stream;

static void open_stream(void)
{
    stream = fopen("/dev/null", "w");
}

static void stdio_buffer_body(void)
{
    setvbuf(stream, object(4096, LIVE), _IOFBF, 4096);
    stream = NULL; /* libc's list of streams has it */
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void *volatile search_root;

/* glibc keeps a node's colour in the lowest bit of a pointer. */
static void tsearch_body(void)
{
    void *root = NULL;
    for (int i = 0; i < 64; i++) {
        char text[16];
        snprintf(text, sizeof text, "%08d", i * 7919 % 100);
        void *node = tsearch(counted(strdup(text), LIVE), &root, compare_text);
        counted(node, LIVE);
    }
    search_root = root;
}

/* ------------------------------------------------------------------ what the kernel holds */

static int epoll_fd, pipe_fds[2];

static void open_epoll(void)
{
    epoll_fd = epoll_create1(0);
    if (pipe(pipe_fds) != 0)
        abort();
}

static void epoll_body(void)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = object(64, DIRECT)};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pipe_fds[0], &event);
}

static void pipe_body(void)
{
    void *p = object(64, DIRECT);
    if (write(pipe_fds[1], &p, sizeof p) != sizeof p)
        abort();
}

/* ------------------------------------------------------------------------- hidden pointers */

static uintptr_t volatile hidden;

static void xor_body(void)
{
    hidden = hidden_object(64, DIRECT);
}

static void high_tag_body(void)
{
    hidden = (uintptr_t)object(64, DIRECT) | (uintptr_t)0xab << 56;
}

static void low_tag_body(void)
{
    hidden = (uintptr_t)object(64, LIVE) | 7;
}

static void split_body(void)
{
    uintptr_t p = (uintptr_t)object(64, DIRECT);
    packed_pair[0] = (uint32_t)p;
    packed_pair[2] = (uint32_t)(p >> 32);
}

static struct __attribute__((packed)) {
    char kind;
    void *p;
} unaligned __attribute__((aligned(8)));

static void unaligned_body(void)
{
    unaligned.p = object(64, DIRECT);
}

static void compressed_body(void)
{
    packed_pair[1] = (uint32_t)((uintptr_t)object(64, DIRECT) >> 4);
}

/* A number that happens to be an address: conservative. */
static double volatile number;

static void number_body(void)
{
    uintptr_t p = (uintptr_t)object(64, LIVE);
    memcpy((void *)&number, &p, sizeof p);
}

/* ------------------------------------------------------------------------------ coroutines */

static ucontext_t main_context, coroutine_context;
static volatile int look_inside;

static void coroutine(void)
{
    struct node *volatile mine = chain(7, LIVE, LIVE);
    scrub();
    if (look_inside)
        look();
    swapcontext(&coroutine_context, &main_context);
    (void)mine;
}

static void run_on(void *stack, size_t size)
{
    getcontext(&coroutine_context);
    coroutine_context.uc_stack.ss_sp = stack;
    coroutine_context.uc_stack.ss_size = size;
    coroutine_context.uc_link = &main_context;
    makecontext(&coroutine_context, coroutine, 0);
    swapcontext(&main_context, &coroutine_context);
}

static void *volatile heap_stack;

static void heap_coroutine_body(void)
{
    heap_stack = object(256 << 10, LIVE);
    run_on(heap_stack, 256 << 10);
}

static void on_heap_coroutine_body(void)
{
    look_inside = 1;
    heap_coroutine_body();
}

/* The running coroutine's stack is a block that nothing but the stack pointer knows. */
static void only_sp_body(void)
{
    look_inside = 1;
    run_on(object(256 << 10, LIVE), 256 << 10);
}

static void mapped_coroutine_body(void)
{
    run_on((char *)pool + (1 << 20), 256 << 10);
}

static void on_mapped_coroutine_body(void)
{
    look_inside = 1;
    mapped_coroutine_body();
}

/* In a local array of a frame further up. */
static void stack_coroutine_body(void)
{
    static _Alignas(16) char *room;
    char local[300 << 10];
    room = local;
    look_inside = 1;
    run_on(room, sizeof local);
}

/* A signal handler on an alternate stack: one object there, one on the normal stack. */
static void on_signal(int number_of_signal)
{
    void *volatile mine = chain(3, LIVE, LIVE);
    (void)number_of_signal;
    look();
    (void)mine;
}

static void install_alternate(void)
{
    map_pool();
    stack_t alternate = {.ss_sp = pool, .ss_size = 256 << 10};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    sigaltstack(&alternate, NULL);
    sigaction(SIGUSR1, &action, NULL);
}

static void alternate_body(void)
{
    void *volatile mine = chain(4, LIVE, LIVE);
    raise(SIGUSR1);
    (void)mine;
}

/* An alternate stack that is a block of the heap. */
static void *volatile alternate_block;

static void install_heap_alternate(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
}

static void heap_alternate_body(void)
{
    alternate_block = object(256 << 10, LIVE);
    stack_t alternate = {.ss_sp = alternate_block, .ss_size = 256 << 10};
    sigaltstack(&alternate, NULL);
    alternate_body();
}

const struct truth_case truth_roots[] = {
    {"data", NULL, in_data_body, NULL, 0, 0},
    {"bss", NULL, in_bss_body, NULL, 0, 0},
    {"read-only-data", NULL, read_only_body, NULL, 0, 0},
    {"dropped", NULL, dropped_body, NULL, 0, 0},
    {"plugin-data", open_plugin, plugin_data_body, NULL, 0, 0},
    {"plugin-tls", open_plugin, plugin_tls_body, NULL, 0, 0},
    {"plugin-closed", closed_warm_up, closed_body, NULL, 0, 0},
    {"stack", NULL, stack_body, NULL, 0, 0},
    {"deep-stack", NULL, deep_stack_body, NULL, 0, 0},
    {"stack-array", NULL, array_body, NULL, 0, 0},
    {"stale-slot", NULL, stale_slot_body, NULL, 0, 0},
    {"dead-frame", NULL, dead_frame_body, NULL, 0, 0},
    {"frames-of-ours", NULL, frames_of_ours_body, NULL, 0, 0},
    {"jmp-buf", NULL, jmp_buf_body, NULL, 0, 0},
    {"pool", map_pool, pool_body, UNMAPPED, 100, 200},
    {"pool-read-only", map_pool, pool_read_only_body, UNMAPPED, 1, 2},
    {"pool-write-only", map_pool, write_only_body, UNMAPPED, 1, 2},
    {"pool-unmapped", map_pool, pool_unmapped_body, NULL, 0, 0},
    {"pool-no-access", map_pool, no_access_body, NULL, 0, 0},
    {"shared-memory", map_shared, shared_body, NULL, 0, 0},
    {"private-file", map_file, private_file_body, UNMAPPED, 1, 2},
    {"pool-unforked", map_unforked, pool_body, UNMAPPED, 100, 200},
    {"jit-code", map_pool, jit_body, UNMAPPED, 20, 40},
    {"jit-code-writable", map_pool, jit_writable_body, UNMAPPED, 20, 40},
    {"brk", NULL, brk_body, UNMAPPED, 1, 2},
    {"environ", warm_environ, environ_body, NULL, 0, 0},
    {"on-exit", NULL, on_exit_body, NULL, 0, 0},
    {"stdio-buffer", open_stream, stdio_buffer_body, NULL, 0, 0},
    {"tsearch", NULL, tsearch_body, NULL, 0, 0},
    {"kernel-epoll", open_epoll, epoll_body, NULL, 0, 0},
    {"kernel-pipe", open_epoll, pipe_body, NULL, 0, 0},
    {"hidden-xor", NULL, xor_body, NULL, 0, 0},
    {"hidden-high-tag", NULL, high_tag_body, NULL, 0, 0},
    {"low-tag", NULL, low_tag_body, NULL, 0, 0},
    {"hidden-split", NULL, split_body, NULL, 0, 0},
    {"hidden-unaligned", NULL, unaligned_body, NULL, 0, 0},
    {"hidden-compressed", NULL, compressed_body, NULL, 0, 0},
    {"number", NULL, number_body, NULL, 0, 0},
    {"coroutine-heap", NULL, heap_coroutine_body, NULL, 0, 0},
    {"on-coroutine-heap", NULL, on_heap_coroutine_body, NULL, 0, 0},
    {"on-coroutine-sp-only", NULL, only_sp_body, NULL, 0, 0},
    {"coroutine-mapped", map_pool, mapped_coroutine_body, NULL, 0, 0},
    {"on-coroutine-mapped", map_pool, on_mapped_coroutine_body, NULL, 0, 0},
    {"on-coroutine-in-frame", NULL, stack_coroutine_body, NULL, 0, 0},
    {"alternate-stack", install_alternate, alternate_body, NULL, 0, 0},
    {"alternate-stack-heap", install_heap_alternate, heap_alternate_body, NULL, 0, 0},
    {NULL, NULL, NULL, NULL, 0, 0},
};
