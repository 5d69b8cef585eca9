/* Bytes of the tables that cfi.h reads, one after the other. */
#ifndef STACK_CFI_CURSOR_H
#define STACK_CFI_CURSOR_H

#include "stack/cfi.h"

#include <string.h>

/* Reads on from `at`, never beyond `end`; `bad` stays once something could not be read. */
struct cursor {
    cfi_read *read;
    uintptr_t at, end;
    bool bad;
};

static inline void take(struct cursor *cursor, void *to, size_t size)
{
    memset(to, 0, size);
    if (cursor->bad || cursor->end - cursor->at < size || cursor->end < cursor->at ||
        !cursor->read(cursor->at, to, size)) {
        cursor->bad = true;
        return;
    }
    cursor->at += size;
}

static inline uint8_t take_byte(struct cursor *cursor)
{
    uint8_t byte;
    take(cursor, &byte, 1);
    return byte;
}

/* Of `size` bytes: 1, 2, 4 or 8. */
static inline uint64_t take_number(struct cursor *cursor, size_t size, bool is_signed)
{
    uint64_t value = 0;
    take(cursor, &value, size); /* both machines have the low byte first */
    unsigned unused = 64 - 8 * (unsigned)size;
    if (is_signed && unused)
        value = (uint64_t)((int64_t)(value << unused) >> unused);
    return value;
}

static inline uint64_t take_leb(struct cursor *cursor, bool is_signed)
{
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;
    do {
        byte = take_byte(cursor);
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
        cursor->bad |= shift > 140; /* nobody pads that much */
    } while (byte & 0x80 && !cursor->bad);
    if (is_signed && byte & 0x40 && shift < 64)
        value |= ~UINT64_C(0) << shift;
    return value;
}

#endif
