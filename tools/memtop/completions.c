/* Prints memtop's completions for bash, zsh or fish: fills in a template of completions/, read from
 * standard input, from the table of commands. */
#include "cmd/command_table.h"
#include "template.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Prints text between single quotes; `quote` is how the shell writes one there. */
static void print_quoted(const char *text, const char *quote)
{
    for (; *text != '\0'; text++)
        if (*text == '\'')
            fputs(quote, stdout);
        else
            putchar(*text);
}

#define SH_QUOTE "'\\''"
#define FISH_QUOTE "\\'"

/* How an option's argument is completed (COMPLETE_…), if it has no words. */
static unsigned argument_completed_as(enum cli_option id)
{
    const char *argument = option_spellings[id].argument;
    if (strcmp(argument, "FILE") == 0 || strcmp(argument, "PROFILE") == 0)
        return COMPLETE_FILES;
    return strcmp(argument, "PID") == 0 ? COMPLETE_TARGETS : COMPLETE_NOTHING;
}

static void print_words(enum cli_option id)
{
    size_t length;
    const char *word;
    for (size_t i = 0; (word = option_word(id, i, &length)); i++)
        printf("%s%.*s", i > 0 ? " " : "", (int)length, word);
}

/* Prints the shell's name of each of `kinds` (COMPLETE_…), with `between` them; `names` is by bit.
 */
static void print_kinds(unsigned kinds, const char *const names[COMPLETE_BITS], const char *between)
{
    const char *before = "";
    for (unsigned bit = 0; bit < COMPLETE_BITS; bit++)
        if (kinds >> bit & 1) {
            printf("%s%s", before, names[bit]);
            before = between;
        }
}

static void print_command_names(void)
{
    for (size_t i = 0; i < COMMANDS_COUNT; i++)
        printf("%s%s", i > COMMAND_LIST + 1 ? " " : "", commands[i].name);
}

/* ---------------------------------------------------------------------------------------- bash */

/* As _memtop_add knows them (memtop.bash). */
static const char *const bash_kinds[COMPLETE_BITS] = {"commands", "targets", "files", "programs",
                                                      "services"};

static void print_bash_option(enum cli_option id, const char *between)
{
    const struct option_spelling *spelling = &option_spellings[id];
    bool both = spelling->letter && spelling->word[0] != '\0';
    if (spelling->letter)
        printf("-%c%s", spelling->letter, both ? between : "");
    if (spelling->word[0] != '\0')
        printf("--%s", spelling->word);
}

static bool print_bash_names(const char *argument)
{
    printf("    local commands='");
    print_command_names();
    puts("'");
    return argument[0] == '\0';
}

/* For each command its options, and how its operands are completed. */
static bool print_bash_commands(const char *argument)
{
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        struct command_option option;
        printf("        %s) options='", commands[i].name[0] ? commands[i].name : "''");
        for (size_t j = 0; command_option(&commands[i], j, &option); j++) {
            printf("%s", j > 0 ? " " : "");
            print_bash_option(option.id, " ");
            printf("%s", option_has_words(option.id) ? "=" : "");
        }
        printf("%s' operands='", strncmp(commands[i].operands, "--", 2) == 0 ? " --" : "");
        print_kinds(commands[i].completed_as, bash_kinds, " ");
        puts("' ;;");
    }
    return argument[0] == '\0';
}

/* For each option that has an argument how that is completed. */
static bool print_bash_arguments(const char *argument)
{
    for (int id = CLI_NONE + 1; id < CLI_OPTIONS_END; id++) {
        unsigned kinds = argument_completed_as((enum cli_option)id);
        if (option_spellings[id].argument[0] == '\0')
            continue;
        printf("        ");
        print_bash_option((enum cli_option)id, " | ");
        printf(") ");
        if (option_has_words((enum cli_option)id)) {
            printf("COMPREPLY=($(compgen -W '");
            print_words((enum cli_option)id);
            printf("' -- \"$cur\")); ");
        } else if (kinds != COMPLETE_NOTHING) {
            printf("_memtop_add ");
            print_kinds(kinds, bash_kinds, " ");
            printf("; ");
        }
        puts("return ;;");
    }
    return argument[0] == '\0';
}

/* ----------------------------------------------------------------------------------------- zsh */

static const char *const zsh_kinds[COMPLETE_BITS] = {"_describe command memtop_commands",
                                                     "_memtop_targets", "_files",
                                                     " _memtop_program", "_memtop_services"};

static void print_zsh_action(unsigned kinds)
{
    bool several = (kinds & (kinds - 1)) != 0 || kinds & COMPLETE_COMMANDS;
    printf("%s", several ? "{" : "");
    print_kinds(kinds, zsh_kinds, "; ");
    printf("%s", several ? "}" : "");
}

static bool print_zsh_names(const char *argument)
{
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        if (commands[i].name[0] == '\0')
            continue;
        printf("    '%s:", commands[i].name);
        print_quoted(commands[i].help, SH_QUOTE);
        puts("'");
    }
    return argument[0] == '\0';
}

/* An option as _arguments takes it; + or = says that an argument may stand in the same word. */
static void print_zsh_option(const struct command_option *option)
{
    const struct option_spelling *spelling = &option_spellings[option->id];
    bool argument = spelling->argument[0] != '\0', word = spelling->word[0] != '\0';
    bool both = spelling->letter && word;
    char letter[3] = {spelling->letter, argument ? '+' : '\0', '\0'};
    printf(" \\\n        '");
    if (spelling->often)
        printf("*");
    else if (both)
        printf("(-%c --%s)", spelling->letter, spelling->word);
    printf("%s", both ? "'{" : "");
    if (spelling->letter)
        printf("-%s%s", letter, both ? "," : "");
    if (word)
        printf("--%s%s", spelling->word, argument ? "=" : "");
    printf("%s[", both ? "}'" : "");
    print_quoted(option->help, SH_QUOTE);
    putchar(']');
    if (option_has_words(option->id)) {
        printf(":%s:(", spelling->word);
        print_words(option->id);
        putchar(')');
    } else if (argument) {
        printf(":%s:", spelling->argument);
        print_zsh_action(argument_completed_as(option->id));
    }
    putchar('\'');
}

static void print_zsh_operands(const struct command *command)
{
    unsigned kinds = command->completed_as;
    bool any = command->most == SIZE_MAX;
    if (command->most == 0 && kinds == COMPLETE_NOTHING)
        return;
    printf(" \\\n        '%s:%s:",
           kinds & COMPLETE_PROGRAMS             ? "*:"
           : any && !(kinds & COMPLETE_SERVICES) ? "*"
                                                 : "1",
           command->operands);
    print_zsh_action(kinds);
    printf("'%s", kinds & COMPLETE_SERVICES ? " '*:KEY=VALUE:'" : "");
}

static bool print_zsh_commands(const char *argument)
{
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        struct command_option option;
        printf("    %s)\n      _arguments -S", commands[i].name[0] ? commands[i].name : "''");
        for (size_t j = 0; command_option(&commands[i], j, &option); j++)
            print_zsh_option(&option);
        print_zsh_operands(&commands[i]);
        puts(" ;;");
    }
    return argument[0] == '\0';
}

/* ---------------------------------------------------------------------------------------- fish */

/* What `complete` takes for operands, and for an option's argument. */
static const char *const fish_kinds[COMPLETE_BITS] = {
    "-a \"$commands\"", "-a '(__memtop_targets)'", "-F",
    "-xa '(__fish_complete_subcommand --fcs-skip=2)'", "-a '(__memtop_services)'"};

static bool print_fish_names(const char *argument)
{
    printf("set -l commands ");
    print_command_names();
    putchar('\n');
    return argument[0] == '\0';
}

static void print_fish_condition(const struct command *command)
{
    if (command->name[0] != '\0')
        printf("complete -c memtop -n \"__fish_seen_subcommand_from %s\"", command->name);
    else
        printf("complete -c memtop -n \"not __fish_seen_subcommand_from $commands\"");
}

static void print_fish_option(const struct command *command, const struct command_option *option)
{
    const struct option_spelling *spelling = &option_spellings[option->id];
    unsigned kinds = argument_completed_as(option->id);
    print_fish_condition(command);
    if (spelling->letter)
        printf(" -s %c", spelling->letter);
    if (spelling->word[0] != '\0')
        printf(" -l %s", spelling->word);
    if (option_has_words(option->id)) {
        printf(" -x -a '");
        print_words(option->id);
        printf("'");
    } else if (spelling->argument[0] != '\0') {
        printf("%s", kinds == COMPLETE_FILES ? " -r " : kinds ? " -x " : " -x");
        print_kinds(kinds, fish_kinds, " ");
    }
    printf(" -d '");
    print_quoted(option->help, FISH_QUOTE);
    puts("'");
}

static bool print_fish_commands(const char *argument)
{
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        const struct command *command = &commands[i];
        struct command_option option;
        if (command->name[0] != '\0') {
            print_fish_condition(&commands[COMMAND_LIST]);
            printf(" -a %s -d '", command->name);
            print_quoted(command->help, FISH_QUOTE);
            puts("'");
        }
        /* The names of commands have been printed with the help of each. */
        unsigned kinds = command->completed_as & ~(i == COMMAND_LIST ? COMPLETE_COMMANDS : 0U);
        if (kinds) {
            print_fish_condition(command);
            putchar(' ');
            print_kinds(kinds, fish_kinds, " ");
            putchar('\n');
        }
        for (size_t j = 0; command_option(command, j, &option); j++)
            print_fish_option(command, &option);
    }
    return argument[0] == '\0';
}

int main(void)
{
    static const struct template_part parts[] = {
        {"BASH_NAMES", print_bash_names},         {"BASH_COMMANDS", print_bash_commands},
        {"BASH_ARGUMENTS", print_bash_arguments}, {"ZSH_NAMES", print_zsh_names},
        {"ZSH_COMMANDS", print_zsh_commands},     {"FISH_NAMES", print_fish_names},
        {"FISH_COMMANDS", print_fish_commands},   {NULL, NULL}};
    return template_fill(parts);
}
