/* Prints memtop(1) as scdoc source: fills in memtop.1.scd, read from standard input, from the
 * tables of commands and keys. */
#include "cmd/command_table.h"
#include "template.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static bool print_keys(const char *argument)
{
    static const char *const keys[][2] = {
#define KEY(ident, name, word, help_name, help, man_name, man, ...) {man_name, man},
#include "ui/keys.def"
#undef KEY
    };
    const char *before = "";
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (keys[i][0][0] == '\0')
            continue;
        printf("%s%s\n\t%s\n", before, keys[i][0], keys[i][1]);
        before = "\n";
    }
    return argument[0] == '\0';
}

/* Prints text with scdoc's own characters escaped. */
static void print_plain(const char *text)
{
    for (; *text != '\0'; text++)
        printf("%s%c", strchr("\\*_", *text) ? "\\" : "", *text);
}

/* Prints text of a usage line: options bold, words that stand for something (FILE) underlined. */
static void print_usage(const char *text)
{
#define CAPITALS "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for (size_t length; *text != '\0'; text += length) {
        size_t option = text[0] == '-' ? strspn(text, "-abcdefghijklmnopqrstuvwxyz" CAPITALS) : 0;
        size_t name = strspn(text, CAPITALS);
        const char *mark = option > 0 ? "*" : name > 0 ? "_" : "";
        length = option > 0 ? option : name > 0 ? name : 1;
        printf("%s%.*s%s", mark, (int)length, text, mark);
    }
}

static bool print_synopsis(const char *argument)
{
    char piece[OPTION_TEXT_SIZE];
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        const struct command *command = &commands[i];
        printf("%s*memtop%s%s*", i > 0 ? "++\n" : "", command->name[0] ? " " : "", command->name);
        for (size_t j = 0; usage_piece(command, j, piece); j++) {
            putchar(' ');
            print_usage(piece);
        }
    }
    putchar('\n');
    return argument[0] == '\0';
}

/* Prints the head of a command's paragraph. */
static bool print_command(const char *name)
{
    const struct command *command = command_find(name);
    if (!command)
        return false;
    printf("*%s*%s", command->name, command->operands[0] ? " " : "");
    print_usage(command->operands);
    putchar('\n');
    return true;
}

/* Prints what an option does, with `indent` before each line. */
static void print_meaning(const struct command_option *option, const char *indent)
{
    printf("%s", indent);
    if (!option->man) {
        char first[2] = {(char)toupper((unsigned char)option->help[0]), '\0'};
        print_plain(first);
        print_plain(option->help + 1);
        puts(".");
        return;
    }
    for (const char *c = option->man; *c != '\0'; c++)
        printf("%c%s", *c, *c == '\n' ? indent : "");
    putchar('\n');
}

/* Prints the options of a command, in its paragraph; of "" those of memtop without a command, in a
 * section of their own, with those that all commands take. */
static bool print_options(const char *name)
{
    bool alone = name[0] == '\0';
    const struct command *command = alone ? &commands[COMMAND_LIST] : command_find(name);
    struct command_option option;
    for (size_t i = 0; command && command_option(command, i, &option); i++) {
        char names[OPTION_TEXT_SIZE];
        if (!alone && (option.id == CLI_HELP || option.id == CLI_VERSION))
            continue;
        option_names(option.id, names);
        printf("%s%s", alone && i > 0 ? "\n" : "", alone ? "" : "\t");
        print_usage(names);
        putchar('\n');
        print_meaning(&option, alone ? "\t" : "\t\t");
    }
    return command != NULL;
}

int main(void)
{
    static const struct template_part parts[] = {{"KEYS", print_keys},
                                                 {"SYNOPSIS", print_synopsis},
                                                 {"COMMAND", print_command},
                                                 {"OPTIONS", print_options},
                                                 {NULL, NULL}};
    return template_fill(parts);
}
