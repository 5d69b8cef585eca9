/* memtop's commands and their options (commands.def).  The programs that make the manual page and
 * the completions are linked with it too, so it needs only libc.  Pure. */
#ifndef MEMTOP_COMMAND_TABLE_H
#define MEMTOP_COMMAND_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum cli_option {
    CLI_NONE,
#define OPTION(ident, ...) CLI_##ident,
#include "commands.def"
    CLI_OPTIONS_END
};

enum command_id {
#define COMMAND(ident, ...) COMMAND_##ident,
#include "commands.def"
    COMMANDS_COUNT
};

/* How an option is spelled. */
struct option_spelling {
    char letter;          /* 0: it has none */
    const char *word;     /* "": it has none */
    const char *argument; /* "": it has none */
    bool often;           /* it may be given several times, and all count */
    const char *help;
};

/* An option as a command takes it. */
struct command_option {
    enum cli_option id;
    const char *help; /* not NULL as command_option() returns it */
    const char *man;  /* scdoc source; NULL: the help, as a sentence */
    bool instead;     /* it is given instead of the one before it */
};

enum completion {
    COMPLETE_NOTHING = 0,
    COMPLETE_COMMANDS = 1, /* memtop's */
    COMPLETE_TARGETS = 2,  /* programs on memdebug */
    COMPLETE_FILES = 4,
    COMPLETE_PROGRAMS = 8, /* what a shell would run, with its arguments */
    COMPLETE_SERVICES = 16 /* systemd's, as the first operand */
};
#define COMPLETE_BITS 5

#define COMMAND_OPTIONS_MAX 20 /* with CLI_NONE at the end */

struct command {
    const char *name;                                   /* "": memtop without a command */
    size_t fewest, most;                                /* how many operands */
    const char *operands;                               /* as in a usage line */
    unsigned completed_as;                              /* COMPLETE_... */
    const char *help;                                   /* one line */
    struct command_option options[COMMAND_OPTIONS_MAX]; /* CLI_NONE ends them */
};

extern const struct option_spelling option_spellings[CLI_OPTIONS_END];
extern const struct command commands[COMMANDS_COUNT];

/* The command of that name, which is not ""; NULL: there is none. */
const struct command *command_find(const char *name);
/* Whether a later version will have this command. */
bool command_is_reserved(const char *name);

/* The `index`-th option that a command takes, those that all commands take last.  False: there are
 * no more. */
bool command_option(const struct command *command, size_t index, struct command_option *option);
/* Whether the command takes it. */
bool command_takes(const struct command *command, enum cli_option id);

/* The `index`-th word that an argument a|b|c may be, *length bytes; NULL: there are no more. */
const char *option_word(enum cli_option id, size_t index, size_t *length);
bool option_has_words(enum cli_option id);

#define OPTION_TEXT_SIZE 128
/* An option by its letter where it has one, "-o"; with its argument, "-o FILE"; or by both its
 * names, "-o, --output FILE". */
void option_name(enum cli_option id, char text[OPTION_TEXT_SIZE]);
void option_usage(enum cli_option id, char text[OPTION_TEXT_SIZE]);
void option_names(enum cli_option id, char text[OPTION_TEXT_SIZE]);
/* The `index`-th piece of a command's usage behind its name, as "[-o FILE]"; a line may be broken
 * between pieces.  False: there are no more. */
bool usage_piece(const struct command *command, size_t index, char text[OPTION_TEXT_SIZE]);

#endif
