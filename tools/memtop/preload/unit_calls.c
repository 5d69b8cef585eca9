#include "unit_calls.h"

#include "systemd_analyze.h"
#include "base/options.h"

#include <stdio.h>
#include <string.h>

enum call_group {
#define SYSTEM_CALLS(id, name, calls) CALLS_##id,
#include "base/system_calls.def"
#undef SYSTEM_CALLS
    CALL_GROUP_COUNT
};

static const char *const call_groups[CALL_GROUP_COUNT] = {
#define SYSTEM_CALLS(id, name, calls) [CALLS_##id] = calls,
#include "base/system_calls.def"
#undef SYSTEM_CALLS
};

static bool group_is_needed(enum call_group group)
{
    uint64_t rate = option_number(OPTION_MEMPROFILERATE);
    switch (group) {
    case CALLS_JEMALLOC:
    case CALLS_ALWAYS:
        return true;
    case CALLS_SEGMENT:
        return option_number(OPTION_MONITOR);
    case CALLS_TRACKED:
        return option_gc() != GC_OFF || (rate > 0 && rate < 64 << 10);
    case CALLS_THREAD:
        return option_gc() != GC_OFF || option_text(OPTION_HEAPPROFILE)[0] != '\0' ||
               option_number(OPTION_HEAPPROFILESIGNAL) != OPTION_OFF;
    case CALLS_CYCLE:
        return option_gc() != GC_OFF;
    case CALLS_IF_ALLOWED:
    case CALL_GROUP_COUNT:
        break;
    }
    return false;
}

/* Whether the filter lets a call pass.  The first assignment decides whether it lists what is
 * allowed or what is denied; later ones add to that and take away. */
static bool allows(const struct unit *unit, const char *sets, const char *call)
{
    bool any = false, allowed = true;
    for (size_t i = 0; i < unit->count; i++) {
        const struct unit_setting *setting = &unit->setting[i];
        char word[256];
        if (strcmp(setting->key, "SystemCallFilter") != 0)
            continue;
        if (setting->value[0] == '\0') {
            any = false;
            allowed = true;
            continue;
        }
        bool denies = setting->value[0] == '~';
        if (!any)
            allowed = denies || systemd_call_is_in(sets, "@default", call);
        any = true;
        for (const char *at = setting->value + denies; unit_word(&at, word, sizeof word);) {
            word[strcspn(word, ":")] = '\0';
            if (systemd_call_is_in(sets, word, call))
                allowed = !denies;
        }
    }
    return allowed;
}

static bool has_word(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at += length)
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

void unit_calls(struct unit_calls *calls, const struct unit *unit, const char *sets)
{
    const char *number = unit_value(unit, "SystemCallErrorNumber");
    *calls = (struct unit_calls){.only_cycles = true,
                                 .kills = number[0] == '\0' || strcmp(number, "kill") == 0};
    for (enum call_group group = 0; group < CALL_GROUP_COUNT; group++) {
        char names[512];
        snprintf(names, sizeof names, " %s", group_is_needed(group) ? call_groups[group] : "");
        for (char *next, *call = strtok_r(names, " ", &next); call;
             call = strtok_r(NULL, " ", &next)) {
            if (allows(unit, sets, call) || has_word(calls->refused, call))
                continue;
            /* Cycles try their calls in a cloned process first, so of theirs only clone itself can
             * do more than prevent cycles. */
            if (group != CALLS_CYCLE || strcmp(call, "clone") == 0)
                calls->only_cycles = false;
            size_t length = strlen(calls->refused);
            snprintf(calls->refused + length, sizeof calls->refused - length, "%s%s",
                     length > 0 ? " " : "", call);
        }
    }
}
