/* memtop help, and --help. */
#include "cmd_help.h"

#include "cli.h"
#include "commands.h"

#include <string.h>

enum { COLUMNS = 80, NAME_COLUMNS = 26 };

/* Prints words from column `indent` on, where the line already is, broken into lines. */
static void wrap(FILE *out, const char *text, int indent)
{
    int column = indent;
    while (*text != '\0') {
        int length = (int)strcspn(text, " ");
        bool first = column == indent;
        if (!first && column + 1 + length > COLUMNS) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
            first = true;
        }
        column += fprintf(out, "%s%.*s", first ? "" : " ", length, text);
        text += length;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

/* "  NAME   what it is"; a long name is on a line of its own. */
static void print_entry(FILE *out, const char *name, const char *help)
{
    int length = fprintf(out, "  %s", name);
    if (length + 2 > NAME_COLUMNS) {
        fputc('\n', out);
        length = 0;
    }
    fprintf(out, "%*s", NAME_COLUMNS - length, "");
    wrap(out, help, NAME_COLUMNS);
}

void help_usage(FILE *out, const struct command *command)
{
    char piece[OPTION_TEXT_SIZE];
    int indent = fprintf(out, "usage: memtop%s%s", command->name[0] ? " " : "", command->name);
    int column = indent;
    for (size_t i = 0; usage_piece(command, i, piece); i++) {
        int length = (int)strlen(piece);
        if (column > indent && column + 1 + length > COLUMNS)
            column = fprintf(out, "\n%*s", indent, "") - 1;
        column += fprintf(out, " %s", piece);
    }
    fputc('\n', out);
}

static void print_options(FILE *out, const struct command *command)
{
    struct command_option option;
    fputc('\n', out);
    for (size_t i = 0; command_option(command, i, &option); i++) {
        char names[OPTION_TEXT_SIZE];
        option_names(option.id, names);
        print_entry(out, names, option.help);
    }
}

static void print_commands(FILE *out)
{
    fputc('\n', out);
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        const struct command *command = &commands[i];
        char name[OPTION_TEXT_SIZE];
        snprintf(name, sizeof name, "memtop%s%s%s%s", command->name[0] ? " " : "", command->name,
                 command->operands[0] ? " " : "", command->operands);
        print_entry(out, name, command->help);
    }
}

/* Explains the words in capitals that the usage has. */
static void print_terms(FILE *out, const struct command *command)
{
    static const char *const terms[][2] = {
        {"TARGET", "a pid, a name, or a segment file (also of a dead process)"},
        {"KEY=VALUE", "an option of MEMDEBUG, see memdebug(7)"}};
    char piece[OPTION_TEXT_SIZE];
    const char *before = "\n";
    for (size_t i = 0; i < sizeof terms / sizeof terms[0]; i++) {
        bool named = false;
        for (size_t j = 0; usage_piece(command, j, piece); j++)
            named |= strstr(piece, terms[i][0]) != NULL;
        if (named)
            fprintf(out, "%s%s is %s.\n", before, terms[i][0], terms[i][1]);
        before = named ? "" : before;
    }
}

void help_print(FILE *out, const struct command *command)
{
    const struct command *of = command ? command : &commands[COMMAND_LIST];
    help_usage(out, of);
    if (command) {
        fprintf(out, "\n%s\n", command->help);
    } else {
        fputs("\nWhere the memory of running programs goes. They are on memdebug if they were\n"
              "started by memtop run, or with LD_PRELOAD=libmemdebug.so.0 (memdebug(7)).\n",
              out);
        print_commands(out);
    }
    print_options(out, of);
    print_terms(out, of);
}

int command_help(const struct options *options)
{
    const char *word = options->argument_count > 0 ? options->arguments[0] : NULL;
    const struct command *command = word ? command_find(word) : NULL;
    if (word && command_is_reserved(word)) {
        cli_error("%s is not in this version", word);
        return EXIT_USAGE;
    }
    if (word && !command) {
        const char *nearest = options->slip_of;
        cli_error("unknown command %.40s%s%s (memtop -h lists all)", word,
                  nearest ? ", nearest: " : "", nearest ? nearest : "");
        return EXIT_USAGE;
    }
    help_print(stdout, command);
    return EXIT_DONE;
}
