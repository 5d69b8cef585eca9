/* tools/memtop/series/names.c: what a call site is called, and looking names up beside the
 * caller. */
#include "series/names.h"
#include "support/tap.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

static struct stack_names described(const struct name_frame *frames, size_t count)
{
    struct stack_names stack = {.frames = (struct name_frame *)frames, .frame_count = count};
    names_describe(&stack);
    return stack;
}

static void label_is(const struct name_frame *frames, size_t count, const char *expected)
{
    struct stack_names stack = described(frames, count);
    if (!ok(stack.label && strcmp(stack.label, expected) == 0, "%s", expected))
        tap_print("# got %s", stack.label ? stack.label : "(null)");
    free(stack.label);
    free(stack.via);
}

/* What was called to allocate; "": malloc itself. */
static void via_is(const struct name_frame *frames, size_t count, size_t first, const char *via)
{
    struct stack_names stack = described(frames, count);
    is(stack.first, first, "so many frames are looked through");
    if (!ok(strcmp(stack.via ? stack.via : "", via) == 0, "via '%s'", via))
        tap_print("# got %s", stack.via ? stack.via : "(none)");
    free(stack.label);
    free(stack.via);
}

#define FRAME(function, file, module, line)                                                        \
    {                                                                                              \
        (char *)function, (char *)file, (char *)module, 0x2234, 0x1234, line, false                \
    }

static void test_labels(void)
{
    const struct name_frame c[] = {FRAME("xmalloc", "util.c", "prog", 3),
                                   FRAME("session_create", "/src/session.c", "prog", 41),
                                   FRAME("main", "/src/main.c", "prog", 7),
                                   FRAME("__libc_start_call_main", "", "libc.so.6", 0),
                                   FRAME("_start", "", "prog", 0)};
    label_is(c, 5, "session_create session.c:41 \xe2\x86\x90 main:7");
    const struct name_frame cxx[] = {
        FRAME("operator new(unsigned long)", "", "libmemdebug.so.0", 0),
        FRAME("std::vector<int>::push_back(int const&)", "stl_vector.h", "prog", 1184),
        FRAME("ns::(anonymous namespace)::grow(int)", "a.cc", "prog", 5),
        FRAME("ns::F::operator()(int) const", "a.cc", "prog", 9),
        FRAME("each<void (*)(int)>(void (*)(int))", "a.cc", "prog", 12)};
    label_is(cxx, 5,
             "ns::grow a.cc:5 \xe2\x86\x90 ns::F::operator():9 "
             "\xe2\x86\x90 each<void (*)(int)>:12");
    const struct name_frame bare[] = {FRAME("", "", "prog", 0), FRAME("", "", "", 0)};
    label_is(bare, 2, "prog+0x1234 \xe2\x86\x90 ?+0x1234");
    const struct name_frame only_libc[] = {FRAME("getline", "", "libc.so.6", 0)};
    label_is(only_libc, 1, "getline");
    const struct name_frame jvm[] = {FRAME("os::pd_reserve_memory", "os_linux.cpp", "libjvm.so", 9),
                                     FRAME("os::reserve_memory", "os.cpp", "libjvm.so", 8),
                                     FRAME("ReservedSpace::reserve", "", "libjvm.so", 0)};
    label_is(jvm, 3, "ReservedSpace::reserve");
    label_is(NULL, 0, "(stack not known)");
    struct name_frame hostile[] = {FRAME("evil\033[2J", "", "prog", 0)};
    label_is(hostile, 1, "evil?[2J");
    struct name_frame deep[200];
    char long_name[400];
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    for (int i = 0; i < 200; i++)
        deep[i] = (struct name_frame)FRAME(long_name, long_name, long_name, 77);
    struct stack_names stack = described(deep, 200);
    ok(stack.label && strlen(stack.label) < 512, "a deep stack of long names stays short");
    ok(stack.label && strncmp(stack.label + stack.function, " nnnn", 5) == 0 &&
           strncmp(stack.label + stack.function - 3, "\xe2\x80\xa6", 3) == 0,
       "a name that is cut ends in an ellipsis, before its position");
    ok(stack.label && strncmp(stack.label + stack.head - 4, "n:77", 4) == 0, "and that is whole");
    ok(stack.label && strcmp(stack.label + strlen(stack.label) - 3, "\xe2\x80\xa6") == 0,
       "and so do callers");
    free(stack.label);
    free(stack.via);
}

/* Two stacks through one wrapper have a name each, and say through which. */
static void test_wrappers(void)
{
    const struct name_frame leak[] = {
        FRAME("malloc", "", "libmemdebug.so.0", 0), FRAME("ngx_alloc", "ngx_alloc.c", "nginx", 25),
        FRAME("ngx_palloc_block", "ngx_palloc.c", "nginx", 191),
        FRAME("renew_session", "sessions.c", "nginx", 154), FRAME("main", "main.c", "nginx", 7)};
    label_is(leak, 5, "renew_session sessions.c:154 \xe2\x86\x90 main:7");
    via_is(leak, 5, 3, "ngx_palloc_block");
    via_is(leak + 2, 3, 1, "ngx_palloc_block");
    via_is(leak + 3, 2, 0, "");
    const struct name_frame direct[] = {FRAME("malloc", "", "libmemdebug.so.0", 0),
                                        FRAME("main", "main.c", "prog", 7)};
    via_is(direct, 2, 1, "");
    const struct name_frame duplicate[] = {FRAME("strdup", "", "libc.so.6", 0),
                                           FRAME("main", "main.c", "prog", 7)};
    via_is(duplicate, 2, 1, "strdup");
    const struct name_frame all[] = {FRAME("ngx_alloc", "ngx_alloc.c", "nginx", 25)};
    label_is(all, 1, "ngx_alloc ngx_alloc.c:25");
    via_is(all, 1, 0, "");
    via_is(NULL, 0, 0, "");
}

/* A snapshot with one stack: an address in a module whose file is gone, two that no module holds;
 * and one of these two only. */
static void test_thread(void)
{
    uint64_t words[16] = {0};
    struct md_stack *stack = (struct md_stack *)&words[2], *outside = (struct md_stack *)&words[8];
    stack->depth = 3;
    stack->pc[0] = 0x1235;
    stack->pc[1] = outside->pc[0] = 0x5679;
    stack->pc[2] = outside->pc[1] = 0x6789;
    outside->depth = 2;
    struct md_module module = {
        .start = 0x1000, .limit = 0x2000, .path = "/nowhere/gone", .path_size = 13};
    struct snapshot snapshot = {
        .stack_words = words, .stack_word_count = 13, .modules = &module, .module_count = 1};
    struct symbolizer_options options = {0};
    for (int background = 0; background < 2; background++) {
        struct names *names = names_create(&options, background);
        ok(names_find(names, 2) == NULL, "not asked for, not known");
        names_want(names, &snapshot, 2);
        names_want(names, &snapshot, 2);
        const struct stack_names *found = names_find(names, 2);
        ok(found && found->frame_count == (background ? 3 : 2) && found->label,
           "there at once, with addresses");
        for (int i = 0; i < 100 && background && !names_take(names); i++)
            poll(&(struct pollfd){names_fd(names), POLLIN, 0}, 1, 100);
        found = names_find(names, 2);
        ok(found && found->resolved && found->frame_count == 2, "then with what is known");
        ok(found && strcmp(found->frames[1].function, "[unknown]") == 0 &&
               found->frames[1].nameless,
           "what has no module and no name is one frame");
        is(names_site(names, &snapshot, 8), NAMES_SITE_NAMELESS, "and one site");
        for (uint32_t id = 9; id < 2000; id++)
            names_want(names, &snapshot, id);
        ok(names_find(names, 1999) != NULL, "ids that are no stack have a label too");
        is(names_site(names, &snapshot, 2), 0x1235, "its site is the innermost call");
        is(names_site(names, &snapshot, 3), 0, "what is no stack has none");
        names_destroy(names);
    }
    names_destroy(NULL);
    for (int i = 0; i < 1000 && names_running();
         i++) /* it ends by itself, after what it is doing */
        poll(NULL, 0, 10);
    is(names_running(), 0, "the thread has ended");
}

int main(void)
{
    test_labels();
    test_wrappers();
    test_thread();
    return tap_done();
}
