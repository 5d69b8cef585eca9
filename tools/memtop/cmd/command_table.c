#include "command_table.h"

#include <stdint.h>
#include <string.h>

enum { ONCE, OFTEN };

/* "|heap|mmap" */
static const char kinds[] = ""
#define MD_KIND(id, name, ...) "|" name
#include <memdebug/kinds.def>
    ;
#define KIND_WORDS (kinds + 1)

const struct option_spelling option_spellings[CLI_OPTIONS_END] = {
#define OPTION(ident, ...) [CLI_##ident] = {__VA_ARGS__},
#include "commands.def"
};

const struct command commands[COMMANDS_COUNT] = {
#define COMMAND(ident, name, function, fewest, most, operands, completed_as, help, ...)            \
    {name, fewest, most, operands, completed_as, help, {__VA_ARGS__}},
#include "commands.def"
};

static const char *const reserved[] = {
#define RESERVED(name) name,
#include "commands.def"
};

static const struct command_option of_every_command[] = {{CLI_HELP}, {CLI_VERSION}};

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < COMMANDS_COUNT; i++)
        if (name[0] != '\0' && strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

bool command_is_reserved(const char *name)
{
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (strcmp(reserved[i], name) == 0)
            return true;
    return false;
}

bool command_option(const struct command *command, size_t index, struct command_option *option)
{
    const struct command_option *row = command->options;
    for (; row->id != CLI_NONE; row++)
        if (index-- == 0)
            break;
    if (row->id == CLI_NONE && index < sizeof of_every_command / sizeof of_every_command[0])
        row = &of_every_command[index];
    *option = *row;
    if (!option->help)
        option->help = option_spellings[option->id].help;
    return option->id != CLI_NONE;
}

bool command_takes(const struct command *command, enum cli_option id)
{
    for (const struct command_option *row = command->options; row->id != CLI_NONE; row++)
        if (row->id == id)
            return true;
    return id == CLI_HELP || id == CLI_VERSION;
}

bool option_has_words(enum cli_option id)
{
    return strchr(option_spellings[id].argument, '|') != NULL;
}

const char *option_word(enum cli_option id, size_t index, size_t *length)
{
    const char *word = option_spellings[id].argument;
    for (; word[0] != '\0'; word += *length + (word[*length] == '|')) {
        *length = strcspn(word, "|");
        if (index-- == 0)
            return word;
    }
    return NULL;
}

void option_name(enum cli_option id, char text[OPTION_TEXT_SIZE])
{
    const struct option_spelling *spelling = &option_spellings[id];
    if (spelling->letter)
        snprintf(text, OPTION_TEXT_SIZE, "-%c", spelling->letter);
    else
        snprintf(text, OPTION_TEXT_SIZE, "--%s", spelling->word);
}

/* Appends the option's argument to its name in `text`. */
static void add_argument(enum cli_option id, char text[OPTION_TEXT_SIZE])
{
    const char *argument = option_spellings[id].argument;
    bool joined = text[1] == '-' && option_has_words(id);
    size_t length = strlen(text);
    if (argument[0] != '\0')
        snprintf(text + length, OPTION_TEXT_SIZE - length, "%s%s", joined ? "=" : " ", argument);
}

void option_usage(enum cli_option id, char text[OPTION_TEXT_SIZE])
{
    option_name(id, text);
    add_argument(id, text);
}

void option_names(enum cli_option id, char text[OPTION_TEXT_SIZE])
{
    const struct option_spelling *spelling = &option_spellings[id];
    option_name(id, text);
    if (spelling->letter && spelling->word[0] != '\0')
        snprintf(text, OPTION_TEXT_SIZE, "-%c, --%s", spelling->letter, spelling->word);
    add_argument(id, text);
}

/* A bracket of a usage line: the option of a row, and those behind it that are given instead.
 * Returns how many they are. */
static size_t bracket(const struct command_option *row, char text[OPTION_TEXT_SIZE])
{
    size_t count = 0, length = 0;
    do {
        char one[OPTION_TEXT_SIZE];
        option_usage(row[count].id, one);
        snprintf(text + length, OPTION_TEXT_SIZE - length, "%s%s", count > 0 ? "|" : "[", one);
        length = strlen(text);
    } while (row[++count].instead);
    snprintf(text + length, OPTION_TEXT_SIZE - length, "]%s",
             option_spellings[row->id].often ? "..." : "");
    return count;
}

bool usage_piece(const struct command *command, size_t index, char text[OPTION_TEXT_SIZE])
{
    bool has_operands = command->operands[0] != '\0';
    bool last = has_operands && strncmp(command->operands, "--", 2) == 0;
    snprintf(text, OPTION_TEXT_SIZE, "%s", command->operands);
    if (has_operands && !last && index-- == 0)
        return true;
    for (const struct command_option *row = command->options; row->id != CLI_NONE;) {
        row += bracket(row, text);
        if (index-- == 0)
            return true;
    }
    snprintf(text, OPTION_TEXT_SIZE, "%s", command->operands);
    return last && index == 0;
}
