#include "stack/cfi.h"

#include "base/compiler.h"
#include "base/machine.h"
#include "stack/cfi_cursor.h"
#include "stack/cfi_expression.h"

/* DWARF's names, as the tables' format has them. */
enum {
    EH_ABSOLUTE = 0x00,
    EH_ULEB = 0x01,
    EH_U2 = 0x02,
    EH_U4 = 0x03,
    EH_U8 = 0x04,
    EH_SLEB = 0x09,
    EH_S2 = 0x0a,
    EH_S4 = 0x0b,
    EH_S8 = 0x0c,
    EH_FORM = 0x0f,
    EH_PC_RELATIVE = 0x10,
    EH_DATA_RELATIVE = 0x30,
    EH_BASE = 0x70,
    EH_INDIRECT = 0x80,
    EH_OMITTED = 0xff
};

#define PROGRAM_STEPS 65536u
#define STATES 8u

/* An address as `encoding` says; data-relative ones count from `data`. */
static uintptr_t take_address(struct cursor *cursor, unsigned encoding, uintptr_t data)
{
    uintptr_t from = cursor->at, value = 0;
    if (encoding == EH_OMITTED)
        return 0;
    switch (encoding & EH_FORM) {
    case EH_ABSOLUTE:
    case EH_U8:
    case EH_S8:
        value = take_number(cursor, 8, false);
        break;
    case EH_U4:
    case EH_S4:
        value = take_number(cursor, 4, (encoding & EH_FORM) == EH_S4);
        break;
    case EH_U2:
    case EH_S2:
        value = take_number(cursor, 2, (encoding & EH_FORM) == EH_S2);
        break;
    case EH_ULEB:
    case EH_SLEB:
        value = take_leb(cursor, (encoding & EH_FORM) == EH_SLEB);
        break;
    default:
        cursor->bad = true;
    }
    if ((encoding & EH_BASE) == EH_PC_RELATIVE)
        value += from;
    else if ((encoding & EH_BASE) == EH_DATA_RELATIVE)
        value += data;
    else if ((encoding & EH_BASE) != EH_ABSOLUTE)
        cursor->bad = true;
    if (encoding & EH_INDIRECT && !cursor->bad && !cursor->read(value, &value, sizeof value))
        cursor->bad = true;
    return value;
}

/* ---- which description ---- */

/* What holds for a function: the common part of several (CIE), and its own (FDE). */
struct description {
    uintptr_t start, size; /* its code */
    uint64_t code_unit;
    uint64_t data_unit;        /* signed, in two's complement: a product may overflow */
    uint64_t return_column;    /* the register that has the address to return to */
    unsigned encoding;         /* of addresses in it */
    bool is_signal;            /* its caller was interrupted, and did not call */
    bool has_sizes;            /* the own part says how long what is added to it is */
    struct cursor common, own; /* the instructions */
};

/* The part that starts at `at`, behind its length. */
static bool open_part(struct cursor *cursor, uintptr_t at)
{
    cursor->at = at;
    cursor->end = at + 4;
    cursor->bad = at + 4 < at;
    uint64_t length = take_number(cursor, 4, false);
    cursor->end = cursor->at + length;
    return !cursor->bad && length > 4 && length < 0xfffffff0u && cursor->end > cursor->at;
}

static bool read_common(struct description *d, uintptr_t at)
{
    struct cursor *cursor = &d->common;
    char added[8];
    unsigned count = 0;
    if (!open_part(cursor, at) || take_number(cursor, 4, false) != 0)
        return false;
    unsigned version = take_byte(cursor);
    if (version != 1 && version != 3 && version != 4)
        return false;
    while ((added[count] = (char)take_byte(cursor)) != 0)
        if (++count == sizeof added)
            return false;
    if (version == 4 && (take_byte(cursor) != 8 || take_byte(cursor) != 0))
        return false;
    d->code_unit = take_leb(cursor, false);
    d->data_unit = take_leb(cursor, true);
    d->return_column = version == 1 ? take_byte(cursor) : take_leb(cursor, false);
    d->has_sizes = added[0] == 'z';
    if (added[0] && !d->has_sizes)
        return false;
    uint64_t size = d->has_sizes ? take_leb(cursor, false) : 0;
    uintptr_t instructions = cursor->at + size;
    for (unsigned i = 1; i < count; i++)
        if (added[i] == 'R')
            d->encoding = take_byte(cursor);
        else if (added[i] == 'P')
            take_address(cursor, take_byte(cursor) & ~(unsigned)EH_INDIRECT, 0);
        else if (added[i] == 'L')
            take_byte(cursor);
        else if (added[i] == 'S')
            d->is_signal = true;
        else if (added[i] != 'B')
            return false;
    if (cursor->bad || instructions < cursor->at || instructions > cursor->end)
        return false;
    cursor->at = instructions;
    return true;
}

static bool read_own(struct description *d, uintptr_t at, uintptr_t tables)
{
    struct cursor *cursor = &d->own;
    if (!open_part(cursor, at))
        return false;
    uintptr_t from = cursor->at;
    uint64_t back = take_number(cursor, 4, false);
    if (back == 0 || back > from || !read_common(d, from - back))
        return false;
    d->start = take_address(cursor, d->encoding, tables);
    d->size = take_address(cursor, d->encoding & EH_FORM, 0);
    uint64_t size = d->has_sizes ? take_leb(cursor, false) : 0;
    if (cursor->bad || size > cursor->end - cursor->at)
        return false;
    cursor->at += size;
    return true;
}

/* The sorted index in front of the tables, of pairs of 32 bits: where a function starts and where
 * its own part is, both from `tables` on.  All linkers write it so. */
static enum cfi_step find(struct description *d, uintptr_t pc, uintptr_t tables)
{
    struct cursor cursor = {d->own.read, tables, tables + 64, false};
    unsigned version = take_byte(&cursor), frames = take_byte(&cursor), counts = take_byte(&cursor),
             pairs = take_byte(&cursor);
    take_address(&cursor, frames, tables);
    uint64_t count = take_address(&cursor, counts, tables);
    if (cursor.bad || version != 1 || pairs != (EH_DATA_RELATIVE | EH_S4) || count > UINT32_MAX)
        return CFI_BAD;
    uintptr_t first = cursor.at, own = 0;
    for (uint64_t low = 0, high = count; low < high;) {
        uint64_t middle = low + (high - low) / 2;
        int32_t pair[2];
        if (!d->own.read(first + middle * sizeof pair, pair, sizeof pair))
            return CFI_BAD;
        if (tables + (uintptr_t)(intptr_t)pair[0] <= pc) {
            own = tables + (uintptr_t)(intptr_t)pair[1];
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (!own)
        return CFI_UNDESCRIBED;
    if (!read_own(d, own, tables))
        return CFI_BAD;
    return pc - d->start < d->size ? CFI_STEPPED : CFI_UNDESCRIBED;
}

/* ---- what it says ---- */

/* Where the caller's value of a register is. */
struct rule {
    enum {
        RULE_NONE, /* not said: where it was */
        RULE_UNDEFINED,
        RULE_SAME,
        RULE_AT,       /* at the frame's address + value */
        RULE_IS,       /* it is the frame's address + value */
        RULE_REGISTER, /* in register `value` */
        RULE_AT_EXPRESSION,
        RULE_IS_EXPRESSION
    } kind;
    int64_t value; /* of an expression the address */
};

struct state {
    struct rule rules[CFI_REGISTERS];
    struct rule frame_address; /* RULE_REGISTER, plus `offset`, or RULE_IS_EXPRESSION */
    int64_t offset;
};

static void set(struct state *state, uint64_t number, int kind, int64_t value)
{
    /* Those of vectors matter to nobody. */
    if (number < CFI_REGISTERS) {
        state->rules[number].kind = kind;
        state->rules[number].value = value;
    }
}

/* An expression stands at the cursor, behind its length; its place. */
static int64_t skip_expression(struct cursor *cursor)
{
    uintptr_t at = cursor->at;
    uint64_t size = take_leb(cursor, false);
    if (size > cursor->end - cursor->at)
        cursor->bad = true;
    else
        cursor->at += size;
    return (int64_t)at;
}

/* Runs instructions until what they say is of code behind `pc`.  `initial` is what the common part
 * has said. */
static bool run(const struct description *d, struct cursor cursor, uintptr_t pc,
                struct state *state, const struct state *initial)
{
    struct state kept[STATES];
    unsigned depth = 0;
    uintptr_t at = d->start;
    for (unsigned steps = 0; cursor.at < cursor.end && !cursor.bad; steps++) {
        unsigned code = take_byte(&cursor), low = code & 0x3f;
        uint64_t number;
        if (steps == PROGRAM_STEPS)
            return false;
        switch (code & 0xc0) {
        case 0x40: /* advance_loc */
            at += low * d->code_unit;
            if (at > pc)
                return true;
            continue;
        case 0x80: /* offset */
            set(state, low, RULE_AT, (int64_t)(take_leb(&cursor, false) * d->data_unit));
            continue;
        case 0xc0: /* restore */
            if (low < CFI_REGISTERS)
                state->rules[low] = initial->rules[low];
            continue;
        default:
            break;
        }
        switch (code) {
        case 0x00: /* nop */
            break;
        case 0x01: /* set_loc */
            at = take_address(&cursor, d->encoding, 0);
            break;
        case 0x02: /* advance_loc1, 2, 4 */
        case 0x03:
        case 0x04:
            at += take_number(&cursor, (size_t)1 << (code - 2), false) * d->code_unit;
            break;
        case 0x05: /* offset_extended */
            number = take_leb(&cursor, false);
            set(state, number, RULE_AT, (int64_t)(take_leb(&cursor, false) * d->data_unit));
            break;
        case 0x06: /* restore_extended */
            number = take_leb(&cursor, false);
            if (number < CFI_REGISTERS)
                state->rules[number] = initial->rules[number];
            break;
        case 0x07: /* undefined */
            set(state, take_leb(&cursor, false), RULE_UNDEFINED, 0);
            break;
        case 0x08: /* same_value */
            set(state, take_leb(&cursor, false), RULE_SAME, 0);
            break;
        case 0x09: /* register */
            number = take_leb(&cursor, false);
            set(state, number, RULE_REGISTER, (int64_t)take_leb(&cursor, false));
            break;
        case 0x0a: /* remember_state */
            if (depth == STATES)
                return false;
            kept[depth++] = *state;
            break;
        case 0x0b: /* restore_state */
            if (depth == 0)
                return false;
            *state = kept[--depth];
            break;
        case 0x0c: /* def_cfa, and with a signed factored offset */
        case 0x12:
            number = take_leb(&cursor, false);
            state->frame_address = (struct rule){RULE_REGISTER, (int64_t)number};
            state->offset = (int64_t)take_leb(&cursor, code == 0x12);
            if (code == 0x12)
                state->offset = (int64_t)((uint64_t)state->offset * d->data_unit);
            break;
        case 0x0d: /* def_cfa_register */
            state->frame_address = (struct rule){RULE_REGISTER, (int64_t)take_leb(&cursor, false)};
            break;
        case 0x0e: /* def_cfa_offset, and signed and factored */
            state->offset = (int64_t)take_leb(&cursor, false);
            break;
        case 0x13:
            state->offset = (int64_t)(take_leb(&cursor, true) * d->data_unit);
            break;
        case 0x0f: /* def_cfa_expression */
            state->frame_address = (struct rule){RULE_IS_EXPRESSION, skip_expression(&cursor)};
            break;
        case 0x10: /* expression */
        case 0x16: /* val_expression */
            number = take_leb(&cursor, false);
            set(state, number, code == 0x10 ? RULE_AT_EXPRESSION : RULE_IS_EXPRESSION,
                skip_expression(&cursor));
            break;
        case 0x11: /* offset_extended_sf */
        case 0x14: /* val_offset */
        case 0x15: /* val_offset_sf */
            number = take_leb(&cursor, false);
            set(state, number, code == 0x11 ? RULE_AT : RULE_IS,
                (int64_t)(take_leb(&cursor, code != 0x14) * d->data_unit));
            break;
        case 0x2d: /* AARCH64_negate_ra_state: machine_code_address copes with both */
            break;
        case 0x2e: /* GNU_args_size */
            take_leb(&cursor, false);
            break;
        case 0x2f: /* GNU_negative_offset_extended */
            number = take_leb(&cursor, false);
            set(state, number, RULE_AT, (int64_t)(0 - take_leb(&cursor, false) * d->data_unit));
            break;
        default:
            return false;
        }
        if (code >= 0x01 && code <= 0x04 && at > pc)
            return !cursor.bad;
    }
    return !cursor.bad;
}

/* ---- a step ---- */

/* The frame's address: what the stack pointer was before its caller called. */
static bool frame_address(const struct cfi_frame *frame, const struct state *state, cfi_read *read,
                          uint64_t *address)
{
    uint64_t number = (uint64_t)state->frame_address.value;
    if (state->frame_address.kind == RULE_IS_EXPRESSION)
        return cfi_evaluate(frame, read, number, NULL, address);
    if (state->frame_address.kind != RULE_REGISTER || number >= CFI_REGISTERS ||
        !(frame->known >> number & 1))
        return false;
    *address = frame->value[number] + (uint64_t)state->offset;
    return true;
}

/* What the caller has in a register; false: nobody knows. */
static bool caller_value(const struct cfi_frame *frame, struct rule rule, unsigned number,
                         uint64_t address, cfi_read *read, uint64_t *value)
{
    uint64_t at = address + (uint64_t)rule.value, other = (uint64_t)rule.value;
    switch (rule.kind) {
    case RULE_NONE:
    case RULE_SAME:
        *value = frame->value[number];
        return frame->known >> number & 1;
    case RULE_AT:
        return read(at, value, sizeof *value);
    case RULE_IS:
        *value = at;
        return true;
    case RULE_REGISTER:
        if (other >= CFI_REGISTERS)
            return false;
        *value = frame->value[other];
        return frame->known >> other & 1;
    case RULE_AT_EXPRESSION:
        return cfi_evaluate(frame, read, other, &address, &at) && read(at, value, sizeof *value);
    case RULE_IS_EXPRESSION:
        return cfi_evaluate(frame, read, other, &address, value);
    default:
        return false;
    }
}

enum cfi_step cfi_step(struct cfi_frame *frame, uintptr_t tables, cfi_read *read)
{
    struct description d = {.common = {.read = read}, .own = {.read = read}};
    struct state initial = {.offset = 0}, state;
    struct cfi_frame caller = {.known = 0};
    uintptr_t pc = frame->pc - frame->is_return;
    uint64_t address, column;
    enum cfi_step found = find(&d, pc, tables);
    if (found != CFI_STEPPED)
        return found;
    if (!run(&d, d.common, UINTPTR_MAX, &initial, &initial))
        return CFI_BAD;
    state = initial;
    if (!run(&d, d.own, pc, &state, &initial) || d.return_column >= CFI_REGISTERS)
        return CFI_BAD;
    column = d.return_column;
    if (state.rules[column].kind == RULE_UNDEFINED)
        return CFI_OUTERMOST;
    if (!frame_address(frame, &state, read, &address))
        return CFI_BAD;
    for (unsigned i = 0; i < CFI_REGISTERS; i++) {
        struct rule rule = state.rules[i];
        if (i == CFI_SP && rule.kind == RULE_NONE)
            rule = (struct rule){RULE_IS, 0};
        if (caller_value(frame, rule, i, address, read, &caller.value[i]))
            caller.known |= UINT64_C(1) << i;
    }
    if (!(caller.known >> column & 1) || !(caller.known >> CFI_SP & 1))
        return CFI_BAD;
    caller.pc = machine_code_address(caller.value[column]);
    caller.is_return = !d.is_signal;
    if (caller.pc == 0)
        return CFI_OUTERMOST;
    /* A frame above: but a signal may have its own stack, and a leaf need not have pushed. */
    bool is_above =
        caller.value[CFI_SP] > frame->value[CFI_SP] ||
        (!CFI_PUSHES && caller.value[CFI_SP] == frame->value[CFI_SP] && caller.pc != frame->pc);
    if (!d.is_signal && frame->known >> CFI_SP & 1 && !is_above)
        return CFI_BAD;
    *frame = caller;
    return CFI_STEPPED;
}

bool cfi_step_by_pointer(struct cfi_frame *frame, cfi_read *read)
{
    uint64_t pointer = frame->value[CFI_FP], pair[2];
    uint64_t needed = UINT64_C(1) << CFI_FP | UINT64_C(1) << CFI_SP;
    if ((frame->known & needed) != needed || pointer < frame->value[CFI_SP] || pointer % 8 ||
        !read(pointer, pair, sizeof pair))
        return false;
    frame->pc = machine_code_address(pair[1]);
    frame->is_return = true;
    frame->known = needed;
    frame->value[CFI_FP] = pair[0];
    frame->value[CFI_SP] = pointer + sizeof pair;
    return frame->pc != 0;
}

void cfi_of_context(struct cfi_frame *frame, const ucontext_t *context)
{
    static const int place[] = CFI_OF_CONTEXT;
    _Static_assert(sizeof place == CFI_REGISTERS * sizeof place[0], "one for each register");
    *frame = (struct cfi_frame){.pc = CFI_CONTEXT_PC(context)};
    for (unsigned i = 0; i < CFI_REGISTERS; i++)
        frame->value[i] = CFI_CONTEXT_REGISTER(context, place[i]);
    frame->known = ~UINT64_C(0) >> (64 - CFI_REGISTERS);
}
