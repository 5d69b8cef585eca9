#include "stack/cfi_expression.h"

#include "stack/cfi_cursor.h"

#define EXPRESSION_STACK 32u
#define EXPRESSION_STEPS 512u

struct machine {
    struct cursor cursor;
    const struct cfi_frame *frame;
    uint64_t stack[EXPRESSION_STACK];
    unsigned depth;
};

static void push(struct machine *m, uint64_t value)
{
    if (m->depth == EXPRESSION_STACK)
        m->cursor.bad = true;
    else
        m->stack[m->depth++] = value;
}

static uint64_t pop(struct machine *m)
{
    if (m->depth == 0) {
        m->cursor.bad = true;
        return 0;
    }
    return m->stack[--m->depth];
}

/* The value that lies `below` the top. */
static uint64_t peek(struct machine *m, unsigned below)
{
    if (below >= m->depth) {
        m->cursor.bad = true;
        return 0;
    }
    return m->stack[m->depth - 1 - below];
}

static void push_register(struct machine *m, uint64_t number)
{
    int64_t offset = (int64_t)take_leb(&m->cursor, true);
    if (number >= CFI_REGISTERS || !(m->frame->known >> number & 1))
        m->cursor.bad = true;
    else
        push(m, m->frame->value[number] + (uint64_t)offset);
}

static void load(struct machine *m, size_t size)
{
    uint64_t value = 0;
    uintptr_t at = pop(m);
    if (m->cursor.bad || size - 1 > 7 || !m->cursor.read(at, &value, size))
        m->cursor.bad = true;
    push(m, value);
}

static void compute(struct machine *m, unsigned code)
{
    uint64_t b = pop(m), a = pop(m);
    int64_t signed_a = (int64_t)a, signed_b = (int64_t)b;
    switch (code) {
    case 0x1a:
        a &= b;
        break;
    case 0x1c:
        a -= b;
        break;
    case 0x1e:
        a *= b;
        break;
    case 0x21:
        a |= b;
        break;
    case 0x22:
        a += b;
        break;
    case 0x24:
        a = b < 64 ? a << b : 0;
        break;
    case 0x25:
        a = b < 64 ? a >> b : 0;
        break;
    case 0x26:
        a = (uint64_t)(signed_a >> (b < 64 ? b : 63));
        break;
    case 0x27:
        a ^= b;
        break;
    case 0x29:
        a = a == b;
        break;
    case 0x2a:
        a = signed_a >= signed_b;
        break;
    case 0x2b:
        a = signed_a > signed_b;
        break;
    case 0x2c:
        a = signed_a <= signed_b;
        break;
    case 0x2d:
        a = signed_a < signed_b;
        break;
    case 0x2e:
        a = a != b;
        break;
    default: /* division */
        m->cursor.bad = true;
    }
    push(m, a);
}

static void jump(struct machine *m, uintptr_t start, bool taken)
{
    int64_t by = (int64_t)take_number(&m->cursor, 2, true);
    uintptr_t to = m->cursor.at + (uintptr_t)by;
    if (to < start || to > m->cursor.end)
        m->cursor.bad = true;
    else if (taken)
        m->cursor.at = to;
}

static void operate(struct machine *m, uintptr_t start)
{
    unsigned code = take_byte(&m->cursor);
    uint64_t a, b, c;
    if (code >= 0x30 && code <= 0x4f) { /* lit */
        push(m, code - 0x30);
    } else if (code >= 0x70 && code <= 0x8f) { /* breg */
        push_register(m, code - 0x70);
    } else if (code >= 0x08 && code <= 0x0f) { /* const1u, const1s, const2u, … */
        push(m, take_number(&m->cursor, (size_t)1 << ((code - 8) / 2), code & 1));
    } else {
        switch (code) {
        case 0x03: /* addr */
            push(m, take_number(&m->cursor, 8, false));
            break;
        case 0x06: /* deref, deref_size */
            load(m, 8);
            break;
        case 0x94:
            load(m, take_byte(&m->cursor));
            break;
        case 0x10: /* constu, consts */
        case 0x11:
            push(m, take_leb(&m->cursor, code == 0x11));
            break;
        case 0x12: /* dup */
            push(m, peek(m, 0));
            break;
        case 0x13: /* drop */
            pop(m);
            break;
        case 0x14: /* over */
            push(m, peek(m, 1));
            break;
        case 0x15: /* pick */
            push(m, peek(m, take_byte(&m->cursor)));
            break;
        case 0x16: /* swap */
            a = pop(m), b = pop(m);
            push(m, a);
            push(m, b);
            break;
        case 0x17: /* rot */
            a = pop(m), b = pop(m), c = pop(m);
            push(m, a);
            push(m, c);
            push(m, b);
            break;
        case 0x19: /* abs */
            a = pop(m);
            push(m, a >> 63 ? -a : a);
            break;
        case 0x1f: /* neg */
            push(m, -pop(m));
            break;
        case 0x20: /* not */
            push(m, ~pop(m));
            break;
        case 0x23: /* plus_uconst */
            a = take_leb(&m->cursor, false);
            push(m, pop(m) + a);
            break;
        case 0x28: /* bra */
            jump(m, start, pop(m) != 0);
            break;
        case 0x2f: /* skip */
            jump(m, start, true);
            break;
        case 0x92: /* bregx */
            push_register(m, take_leb(&m->cursor, false));
            break;
        case 0x96: /* nop */
            break;
        default:
            compute(m, code);
        }
    }
}

bool cfi_evaluate(const struct cfi_frame *frame, cfi_read *read, uintptr_t at,
                  const uint64_t *frame_address, uint64_t *value)
{
    struct machine m = {.cursor = {read, at, at + 16, false}, .frame = frame};
    uint64_t size = take_leb(&m.cursor, false);
    uintptr_t start = m.cursor.at;
    m.cursor.end = start + size;
    if (m.cursor.bad || m.cursor.end < start)
        return false;
    if (frame_address)
        push(&m, *frame_address);
    for (unsigned steps = 0; m.cursor.at < m.cursor.end && !m.cursor.bad; steps++) {
        if (steps == EXPRESSION_STEPS)
            return false;
        operate(&m, start);
    }
    *value = pop(&m);
    return !m.cursor.bad;
}
