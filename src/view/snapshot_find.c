/* What is found in a snapshot when it has been taken. */
#include "view/snapshot.h"

#include <string.h>

const struct md_stack *snapshot_stack(const struct snapshot *snap, uint32_t id)
{
    size_t words = snap->stack_word_count;
    if (!id || id >= words || words - id < MD_STACK_HEADER_WORDS)
        return NULL;
    const struct md_stack *stack = (const struct md_stack *)(const void *)&snap->stack_words[id];
    if (stack->depth > MD_STACK_MAX_DEPTH || stack->depth > words - id - MD_STACK_HEADER_WORDS)
        return NULL;
    return stack;
}

void snapshot_build_id(const struct md_module *module, char text[BUILD_ID_TEXT_SIZE])
{
    size_t size = module->build_id_size;
    for (size_t i = 0; i < size && i < sizeof module->build_id; i++) {
        *text++ = "0123456789abcdef"[module->build_id[i] >> 4];
        *text++ = "0123456789abcdef"[module->build_id[i] & 15];
    }
    *text = 0;
}

const struct md_module *snapshot_module(const struct snapshot *snap, uint64_t pc, uint32_t epoch)
{
    for (size_t i = 0; i < snap->module_count; i++) {
        const struct md_module *m = &snap->modules[i];
        if (pc >= m->start && pc < m->limit && m->born <= epoch && (!m->gone || epoch < m->gone))
            return m;
    }
    return NULL;
}

const struct md_answer_record *snapshot_record(const struct snapshot *snap, size_t *at,
                                               enum md_answer_kind kind, size_t bytes)
{
    while (*at < snap->answer_word_count) {
        const struct md_answer_record *record = (const void *)&snap->answer_words[*at];
        size_t left = snap->answer_word_count - *at;
        if (!record->words || record->words > left)
            break;
        *at += record->words;
        if (record->kind == kind && record->words >= bytes / sizeof(uint64_t))
            return record;
    }
    return NULL;
}

bool snapshot_answer_module(const struct snapshot *snap, size_t *at, struct md_module *module)
{
    const struct md_answer_record *record =
        snapshot_record(snap, at, MD_ANSWER_MODULE, sizeof(struct md_answer_module));
    if (!record)
        return false;
    *module = ((const struct md_answer_module *)record)->module;
    module->path[sizeof module->path - 1] = 0;
    module->path_size = (uint32_t)strlen(module->path);
    if (module->build_id_size > sizeof module->build_id)
        module->build_id_size = 0;
    return true;
}
