#include "gc/ask/thread_stack.h"

#include "base/compiler.h"
#include "base/os.h"
#include "gc/ask/answers.h"
#include "gc/roots/sorted.h"
#include "gc/stop/restart.h"
#include "gc/sys/proc.h"
#include "stack/cfi.h"
#include "stack/loaded.h"
#include "stack/modules.h"

#include <string.h>

#define CODE_MAX 65536u /* mappings with code: a JVM has hundreds */
#define MODULES_MAX 1024u
/* No frame is larger, where nothing but a frame pointer says where it ends. */
#define FRAME_MAX ((uint64_t)16 << 20)
#define LOWEST 65536u /* nothing lies below, and what would is no fault of the copy's */

/* The copy's own. */
static struct code {
    uintptr_t start, end;
} * code; /* by address */
static size_t code_count;
static struct loaded *modules;
static size_t module_count;

/* What cannot be read is 0 in the copy (engine/clone.c), but for what no mapping can be at. */
NO_SANITIZE bool thread_stack_read(uintptr_t at, void *to, size_t size)
{
    uintptr_t limit = ((uintptr_t)1 << OS_ADDRESS_BITS_MAX) - OS_PAGE_MIN;
    if (at < LOWEST || at >= limit || size > limit - at)
        return false;
    memcpy(to, (const void *)at, size);
    return true;
}

static void note_code(void *ctx, const struct proc_mapping *m)
{
    (void)ctx;
    if (m->executable && m->readable && code_count < CODE_MAX)
        code[code_count++] = (struct code){m->start, m->end};
}

const char *thread_stacks_begin(void)
{
    code = own_map(CODE_MAX * sizeof *code);
    modules = own_map(MODULES_MAX * sizeof *modules);
    code_count = module_count = 0;
    if (!code || !modules)
        return "no memory for stacks";
    if (!loaded_is_lock_free())
        return "this libc has no _dl_find_object";
    return proc_each_mapping(note_code, NULL) ? NULL : "/proc/self/maps cannot be read";
}

static bool is_code(uintptr_t pc)
{
    size_t i = lower_bound((const uintptr_t *)code, code_count, 2, pc + 1);
    return i > 0 && pc < code[i - 1].end;
}

/* The object that holds `address`; NULL: none does. */
static const struct loaded *object_of(uintptr_t address)
{
    for (size_t i = 0; i < module_count; i++)
        if (address - modules[i].start < modules[i].end - modules[i].start)
            return &modules[i];
    if (module_count == MODULES_MAX || !loaded_at(address, &modules[module_count]))
        return NULL;
    return &modules[module_count++];
}

/* The caller's frame in its place; false: it is not known, or there is none. */
static bool step(struct cfi_frame *frame, uint32_t *end)
{
    const struct loaded *object = object_of(frame->pc - frame->is_return);
    enum cfi_step how = object && object->tables
                            ? cfi_step(frame, object->tables, thread_stack_read)
                            : CFI_UNDESCRIBED;
    *end = how == CFI_OUTERMOST ? MD_STACK_WHOLE : MD_STACK_LOST;
    if (how == CFI_OUTERMOST || how == CFI_BAD)
        return false;
    if (how == CFI_UNDESCRIBED &&
        (!(frame->known >> CFI_FP & 1) || frame->value[CFI_FP] - frame->value[CFI_SP] > FRAME_MAX ||
         !cfi_step_by_pointer(frame, thread_stack_read)))
        return false;
    return is_code(frame->pc - frame->is_return);
}

unsigned thread_stack(const struct world_thread *thread, uint64_t *pcs, unsigned most,
                      uint32_t *end)
{
    struct cfi_frame frame = {.known = 0};
    unsigned depth = 0;
    *end = MD_STACK_LOST;
    if (world_state_of(thread) != WORLD_PARKED)
        return 0;
    cfi_of_context(&frame, restart_context(thread->context));
    while (depth < most) {
        pcs[depth++] = frame.pc + !frame.is_return;
        if (!step(&frame, end))
            return depth;
    }
    *end = MD_STACK_CUT;
    return depth;
}

uint64_t thread_stack_frame(const struct world_thread *thread, uintptr_t at)
{
    struct cfi_frame frame = {.known = 0};
    uint32_t end;
    if (world_state_of(thread) != WORLD_PARKED)
        return 0;
    cfi_of_context(&frame, restart_context(thread->context));
    for (unsigned depth = 0; depth < MD_STACK_MAX_DEPTH; depth++) {
        uint64_t pc = frame.pc + !frame.is_return;
        if (!step(&frame, &end))
            return 0;
        if (at < frame.value[CFI_SP])
            return pc; /* a frame ends where its caller's begins */
    }
    return 0;
}

bool thread_stacks_module(uintptr_t address, uint64_t *bias)
{
    const struct loaded *object = object_of(address);
    if (object)
        *bias = object->bias;
    return object;
}

void thread_stacks_tell_modules(void)
{
    for (size_t i = 0; i < module_count; i++) {
        struct md_answer_module *record = answers_record(MD_ANSWER_MODULE, sizeof *record);
        if (record)
            modules_describe(&modules[i], &record->module);
    }
}
