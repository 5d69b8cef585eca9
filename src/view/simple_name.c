#include "view/simple_name.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ANONYMOUS "(anonymous namespace)"

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$';
}

/* The length of "operator" at `at`, with its symbol if that holds brackets, which then are part of
 * the name; 0: there is none. */
static size_t operator_length(const char *name, const char *at)
{
    static const char *const symbols[] = {"()", "[]", "<<=", ">>=", "->*", "<=>", "<<",
                                          ">>", "<=", ">=",  "->",  "<",   ">"};
    if (!starts(at, "operator") || (at > name && word_char(at[-1])) || word_char(at[8]))
        return 0;
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++)
        if (starts(at + 8, symbols[i]))
            return 8 + strlen(symbols[i]);
    return 8;
}

/* What follows the bracket that closes the one at `at`; NULL: none does.  An arrow closes nothing,
 * and < and > inside round brackets are comparisons. */
static const char *closing(const char *name, const char *at)
{
    char open[64];
    unsigned depth = 0;
    for (; *at; at++) {
        size_t skip = operator_length(name, at);
        if (skip > 8) {
            at += skip - 1;
            continue;
        }
        if (*at == '-' && at[1] == '>') {
            at++;
            continue;
        }
        bool in_round = depth && open[depth - 1] == '(';
        if (*at == '(' || (*at == '<' && !in_round)) {
            if (depth == sizeof open)
                return NULL;
            open[depth++] = *at;
        } else if (*at == ')' || (*at == '>' && !in_round)) {
            if (!depth || open[depth - 1] != (*at == ')' ? '(' : '<'))
                return NULL;
            if (--depth == 0)
                return at + 1;
        }
    }
    return NULL;
}

/* Copies the name without arguments, template arguments and ABI tags; `out` has room for all of it.
 * False: it is not understood. */
static bool drop_brackets(const char *name, char *out)
{
    for (const char *at = name; *at;) {
        size_t keep = operator_length(name, at);
        if (!keep && starts(at, ANONYMOUS))
            keep = sizeof ANONYMOUS - 1;
        if (keep) {
            memcpy(out, at, keep);
            out += keep;
            at += keep;
        } else if (*at == '(' && (at[1] == '*' || at[1] == '&')) {
            return false; /* returns a function or an array: the name is inside */
        } else if (*at == '(' || *at == '<') {
            at = closing(name, at);
            if (!at)
                return false;
        } else if (*at == '[' && starts(at, "[abi:") && strchr(at, ']')) {
            at = strchr(at, ']') + 1;
        } else {
            *out++ = *at++;
        }
    }
    *out = 0;
    return true;
}

/* Drops " const", " volatile", " &" and " &&" at the end, in front of "::" and of a blank, and
 * " [clone" with all that follows. */
static void drop_qualifiers(char *name)
{
    static const char *const words[] = {" const", " volatile", " &&", " &", " [clone"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t n = strlen(words[i]);
        for (char *at = name; (at = strstr(at, words[i]));) {
            if (words[i][n - 1] == 'e' && words[i][1] == '[')
                *at = 0;
            else if (!at[n] || starts(at + n, "::") || at[n] == ' ')
                memmove(at, at + n, strlen(at + n) + 1);
            else
                at += n;
        }
    }
}

/* Where the name begins behind the return type: at the last blank that is not part of the name. */
static const char *behind_type(const char *name)
{
    const char *begin = name;
    for (const char *at = name; *at; at++) {
        if (operator_length(name, at))
            return begin; /* "operator new", "operator unsigned long" */
        if (starts(at, ANONYMOUS)) {
            at += sizeof ANONYMOUS - 2;
        } else if (*at == '{') {
            const char *end = strchr(at, '}');
            if (!end)
                return name;
            at = end;
        } else if (*at == ' ') {
            begin = at + 1;
        }
    }
    return begin;
}

/* The > that closes the < at `at` in a Rust name; NULL: none does. */
static char *rust_closing(char *at)
{
    unsigned depth = 0;
    for (char *p = at; *p; p++) {
        depth += *p == '<';
        if (*p == '>' && p[-1] != '-' && --depth == 0)
            return p;
    }
    return NULL;
}

/* "<[u8] as Trait<T>>::f::<U>" becomes "<[u8] as Trait>::f": a bracket behind a name holds generic
 * arguments, any other the type whose function it is. */
static void simple_rust_name(char *name)
{
    char *out = name;
    for (char *at = name; *at; at++) {
        bool generic = *at == '<' && at > name && (word_char(at[-1]) || at[-1] == ':');
        char *end = generic ? rust_closing(at) : NULL;
        if (!end) {
            *out++ = *at;
            continue;
        }
        at = end;
        while (out > name && out[-1] == ':')
            out--;
    }
    *out = 0;
}

static bool is_balanced(const char *name)
{
    unsigned open = 0;
    for (const char *at = name; *at; at++) {
        open += *at == '<';
        if (*at == '>' && at > name && at[-1] != '-' && open-- == 0)
            return false;
    }
    return open == 0;
}

void simple_name_drop_anonymous(char *name)
{
    static const char scope[] = ANONYMOUS "::";
    for (char *at = name; (at = strstr(at, scope));)
        memmove(at, at + sizeof scope - 1, strlen(at + sizeof scope - 1) + 1);
}

void simple_name(char *name)
{
    if (name[0] == '<' || strstr(name, "::<")) { /* no C++ name has either */
        if (is_balanced(name))
            simple_rust_name(name);
        return;
    }
    char *work = malloc(strlen(name) + 1);
    if (!work)
        return;
    if (drop_brackets(name, work)) {
        drop_qualifiers(work);
        for (size_t n = strlen(work); n && work[n - 1] == ' ';) /* "operator<< <int>" */
            work[--n] = 0;
        const char *begin = behind_type(work);
        if (*begin && *begin != ':')
            memcpy(name, begin, strlen(begin) + 1);
    }
    free(work);
}
