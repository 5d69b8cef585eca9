/* Any bytes as unwinding tables with a stack behind them: a step comes to an end, reads nothing but
 * through the function that it is given, and changes nothing unless it has stepped. */
#include "replay.h"

#include "stack/cfi.h"

#include <stdlib.h>
#include <string.h>

#define BASE UINT64_C(0x100000)
#define CODE (BASE + 0x1000)
#define READS_MAX 4000000u /* of one step: some expressions for each register */

static const uint8_t *memory;
static size_t memory_size;
static unsigned reads;

static bool read_memory(uintptr_t at, void *to, size_t size)
{
    if (++reads > READS_MAX)
        abort();
    if (at < BASE || at - BASE > memory_size || size > memory_size - (at - BASE))
        return false;
    memcpy(to, memory + (at - BASE), size);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct cfi_frame frame = {.pc = CODE + 0x10, .is_return = size & 1};
    memory = bytes;
    memory_size = size;
    frame.known = (UINT64_C(1) << (CFI_REGISTERS - 1)) * 2 - 1;
    for (unsigned i = 0; i < CFI_REGISTERS; i++)
        frame.value[i] = BASE + 0x100 + i * 8;
    for (unsigned depth = 0; depth < 64; depth++) {
        struct cfi_frame before = frame;
        reads = 0;
        if (cfi_step(&frame, BASE, read_memory) == CFI_STEPPED)
            continue;
        if (memcmp(&before, &frame, sizeof frame) != 0)
            abort();
        if (!cfi_step_by_pointer(&frame, read_memory))
            break;
        if (frame.value[CFI_SP] <= before.value[CFI_SP])
            abort();
    }
    return 0;
}

/* One function in an index, its rules, and a stack whose words lead back to it.  `rules` are the
 * instructions behind advance_loc 1. */
static uint8_t *table(const uint8_t *rules, size_t count, const char *added, size_t *size)
{
    uint8_t *bytes = calloc(1, 0x400), *at;
    if (!bytes)
        abort();
    memcpy(bytes, "\x01\x1b\x03\x3b", 4);
    memcpy(bytes + 4, &(int32_t){0x20 - 4}, 4); /* where the tables are, from here */
    memcpy(bytes + 8, &(uint32_t){1}, 4);
    memcpy(bytes + 12, &(int32_t){CODE - BASE}, 4);
    memcpy(bytes + 16, &(int32_t){0x50}, 4);
    memcpy(bytes + 0x20, &(uint32_t){0x2c}, 4); /* common: its length, 0, version 1 */
    bytes[0x28] = 1;
    at = bytes + 0x29;
    strcpy((char *)at, added); /* "zR" or "zRS" */
    at += strlen(added) + 1;
    memcpy(at, "\x01\x78\x10\x01\x1b\x0c\x07\x08\x90\x01", 10); /* CFA is sp + 8; return at -8 */
    memcpy(bytes + 0x50, &(uint32_t){0x8c}, 4);
    memcpy(bytes + 0x54, &(uint32_t){0x54 - 0x20}, 4);
    memcpy(bytes + 0x58, &(int32_t){(int32_t)(CODE - BASE) - 0x58}, 4);
    memcpy(bytes + 0x5c, &(uint32_t){0x100}, 4);
    bytes[0x61] = 0x41;
    memcpy(bytes + 0x62, rules, count);
    for (size_t i = 0x100; i < 0x400; i += 8)
        memcpy(bytes + i, &(uint64_t){i % 16 ? CODE + 0x20 : BASE + i + 24}, 8);
    *size = 0x400;
    return bytes;
}

uint8_t *fuzz_seed(unsigned index, size_t *size)
{
    /* A frame pointer; an expression as for calls that are not bound yet, and one that reads the
     * caller's; what is remembered and restored; others of the instructions. */
    static const uint8_t pointer[] = {0x0e, 0x10, 0x86, 0x02, 0x43, 0x0d, 0x06};
    static const uint8_t expression[] = {0x0f, 0x0b, 0x77, 0x08, 0x80, 0x00, 0x3f,
                                         0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22};
    static const uint8_t deref[] = {0x0f, 0x03, 0x76, 0x78, 0x06, 0x10, 0x06, 0x02,
                                    0x76, 0x00, 0x16, 0x03, 0x02, 0x77, 0x10};
    static const uint8_t remembered[] = {0x0a, 0x0e, 0x20, 0x02, 0x02, 0x0b, 0x05, 0x03,
                                         0x03, 0x07, 0x04, 0x08, 0x05, 0x09, 0x03, 0x0c,
                                         0x14, 0x0d, 0x01, 0x2e, 0x08, 0xc6};
    static const uint8_t jumps[] = {0x0f, 0x09, 0x31, 0x28, 0x02, 0x00,
                                    0x30, 0x13, 0x77, 0x08, 0x96};
    static const struct {
        const uint8_t *rules;
        size_t count;
        const char *added;
    } seeds[] = {
        {pointer, sizeof pointer, "zR"}, {expression, sizeof expression, "zR"},
        {deref, sizeof deref, "zRS"},    {remembered, sizeof remembered, "zR"},
        {jumps, sizeof jumps, "zR"},
    };
    if (index >= sizeof seeds / sizeof seeds[0])
        return NULL;
    return table(seeds[index].rules, seeds[index].count, seeds[index].added, size);
}
