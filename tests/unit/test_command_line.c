/* tools/memtop/cmd: the table of commands, the parser that is made of it, and its help. */
#include "support/tap.h"
#include "cmd/cmd_help.h"
#include "cmd/command_line.h"
#include "view/pprof.h"

#include <stdio.h>
#include <string.h>

/* What a command line was read as. */
struct reading {
    enum line_wants wants;
    const struct command *command;
    struct options options;
    char *words[16];
    char said[512]; /* on stderr */
};

/* Reads `argv`, which NULL ends. */
static void read_line(struct reading *reading, const char *const *argv)
{
    FILE *before = stderr;
    int argc = 0;
    while (argv[argc])
        argc++;
    memset(reading, 0, sizeof *reading);
    reading->options.arguments = reading->words;
    stderr = fmemopen(reading->said, sizeof reading->said, "w");
    reading->wants = command_line_read(argc, (char **)argv, &reading->options, &reading->command);
    fclose(stderr);
    stderr = before;
}

/* A value that an option takes. */
#define VALUE_SIZE 32
static const char *value_of(enum cli_option id, char text[VALUE_SIZE])
{
    size_t length;
    const char *word = option_word(id, 1, &length);
    snprintf(text, VALUE_SIZE, "%.*s", word ? (int)length : 1, word ? word : "1");
    return text;
}

/* Whether a command takes an option that is spelled as `option`, and `value` if that is not NULL.
 */
static bool takes(const struct command *command, enum cli_option id, const char *option,
                  const char *value)
{
    struct reading reading;
    const char *argv[8] = {"memtop"}, **next = argv + 1;
    if (command->name[0] != '\0')
        *next++ = command->name;
    *next++ = option;
    if (value)
        *next++ = value;
    for (size_t i = 0; i < command->fewest; i++)
        *next++ = "operand";
    read_line(&reading, argv);
    enum line_wants wanted = id == CLI_HELP      ? LINE_HELP
                             : id == CLI_VERSION ? LINE_VERSION
                                                 : LINE_COMMAND;
    if (command == &commands[COMMAND_LIST])
        return reading.wants == wanted; /* by -p it is top */
    return reading.wants == wanted && reading.command == command;
}

/* By its letter and its word, its value behind it or in the same word. */
static bool takes_all_ways(const struct command *command, enum cli_option id)
{
    const struct option_spelling *spelling = &option_spellings[id];
    char option[OPTION_TEXT_SIZE], value[VALUE_SIZE];
    bool argument = spelling->argument[0] != '\0', taken = true;
    value_of(id, value);
    if (spelling->letter) {
        snprintf(option, sizeof option, "-%c", spelling->letter);
        taken &= takes(command, id, option, argument ? value : NULL);
        snprintf(option, sizeof option, "-%c%s", spelling->letter, argument ? value : "");
        taken &= takes(command, id, option, NULL);
    }
    if (spelling->word[0] != '\0') {
        snprintf(option, sizeof option, "--%s", spelling->word);
        taken &= takes(command, id, option, argument ? value : NULL);
        snprintf(option, sizeof option, "--%s%s%s", spelling->word, argument ? "=" : "",
                 argument ? value : "");
        taken &= takes(command, id, option, NULL);
    }
    return taken;
}

/* What a command does not take it refuses, by the option's name and with its own usage. */
static bool refuses(const struct command *command, enum cli_option id)
{
    struct reading reading;
    char name[OPTION_TEXT_SIZE], value[VALUE_SIZE], wanted[256];
    const char *argv[8] = {"memtop"}, **next = argv + 1;
    if (command->name[0] != '\0')
        *next++ = command->name;
    option_name(id, name);
    *next++ = name;
    if (option_spellings[id].argument[0] != '\0')
        *next++ = value_of(id, value);
    read_line(&reading, argv);
    snprintf(wanted, sizeof wanted, "memtop: %s: not an option of memtop%s%s\nusage: memtop%s%s",
             name, command->name[0] ? " " : "", command->name, command->name[0] ? " " : "",
             command->name);
    return reading.wants == LINE_WRONG && strncmp(reading.said, wanted, strlen(wanted)) == 0;
}

static void test_parser(void)
{
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        const struct command *command = &commands[i];
        size_t taken = 0, refused = 0, wrong = 0;
        for (int id = CLI_NONE + 1; id < CLI_OPTIONS_END; id++) {
            bool takes_it = command_takes(command, (enum cli_option)id);
            bool right = takes_it ? takes_all_ways(command, (enum cli_option)id)
                                  : refuses(command, (enum cli_option)id);
            taken += takes_it;
            refused += !takes_it;
            wrong += !right;
            if (!right)
                tap_print("# memtop %s: option %d of the table", command->name, id);
        }
        ok(wrong == 0 && taken >= 2 && taken + refused == CLI_OPTIONS_END - 1,
           "memtop %s takes %zu options, whichever way they are spelled, and refuses %zu",
           command->name, taken, refused);
    }
}

#define HELP_SIZE 16384
/* Prints help into `text`; what stands before the first empty line, its usage, into `usage`. */
static void read_help(const struct command *command, char text[HELP_SIZE], char usage[HELP_SIZE])
{
    FILE *out = fmemopen(text, HELP_SIZE, "w");
    help_print(out, command);
    fclose(out);
    snprintf(usage, HELP_SIZE, "%.*s", (int)(strstr(text, "\n\n") - text), text);
}

/* Each option of a command is in its usage and has a line below; no line is wider than a terminal.
 */
static void test_help(void)
{
    static char text[HELP_SIZE], usage[HELP_SIZE];
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        struct command_option option;
        size_t options = 0, missing = 0, wide = 0;
        read_help(i == COMMAND_LIST ? NULL : &commands[i], text, usage);
        for (; command_option(&commands[i], options, &option); options++) {
            char names[OPTION_TEXT_SIZE], line[OPTION_TEXT_SIZE + 8], in_usage[OPTION_TEXT_SIZE];
            bool of_all = option.id == CLI_HELP || option.id == CLI_VERSION;
            option_names(option.id, names);
            option_usage(option.id, in_usage);
            snprintf(line, sizeof line, "\n  %s", names);
            const char *found = strstr(text, line);
            missing += !found || !strchr(" \n", found[strlen(line)]);
            missing += !of_all && !strstr(usage, in_usage);
        }
        for (const char *line = text; *line != '\0'; line += strspn(line, "\n")) {
            size_t length = strcspn(line, "\n");
            wide += length > 80;
            line += length;
        }
        ok(missing == 0 && wide == 0 && strncmp(text, "usage: memtop", 13) == 0,
           "help of memtop %s: %zu options, in its usage and below", commands[i].name, options);
    }
    read_help(NULL, text, usage);
    for (size_t i = 1; i < COMMANDS_COUNT; i++) {
        char line[64];
        snprintf(line, sizeof line, "\n  memtop %s", commands[i].name);
        ok(strstr(text, line) != NULL, "memtop -h has memtop %s", commands[i].name);
    }
}

/* None stands in two rows, and there is an end to them. */
static void test_table(void)
{
    size_t twice = 0, mute = 0, endless = 0;
    for (int id = CLI_NONE + 1; id < CLI_OPTIONS_END; id++) {
        const struct option_spelling *one = &option_spellings[id];
        mute += one->help[0] == '\0' || (one->letter == 0 && one->word[0] == '\0');
        for (int other = id + 1; other < CLI_OPTIONS_END; other++) {
            twice += one->letter && one->letter == option_spellings[other].letter;
            twice += one->word[0] != '\0' && strcmp(one->word, option_spellings[other].word) == 0;
        }
    }
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        const struct command_option *rows = commands[i].options;
        endless += rows[COMMAND_OPTIONS_MAX - 1].id != CLI_NONE;
        twice += i > 0 && command_find(commands[i].name) != &commands[i];
        twice += command_is_reserved(commands[i].name);
        mute += commands[i].help[0] == '\0' || rows[0].instead;
        for (size_t j = 0; rows[j].id != CLI_NONE; j++)
            for (size_t k = j + 1; rows[k].id != CLI_NONE; k++)
                twice += rows[j].id == rows[k].id;
    }
    ok(twice == 0, "no option and no command is there twice");
    ok(mute == 0 && endless == 0, "each says what it is");
}

/* What the line comes to. */
static void test_values(void)
{
    struct reading reading;
    static const char *const by[] = {"stack", "function", "type", "module", "size"};
    static const char *const charsets[] = {"auto", "braille", "block", "ascii"};
    for (int i = 0; i < 5; i++) {
        read_line(&reading, (const char *[]){"memtop", "leaks", "--by", by[i], "x", NULL});
        is(reading.options.by, i, "--by %s", by[i]);
    }
    is(LEAKS_BY_SIZE, 4, "the last way to group leaks");
    for (int i = 0; i < 4; i++) {
        read_line(&reading, (const char *[]){"memtop", "x", "--charset", charsets[i], NULL});
        is(reading.options.view.charset, i, "--charset %s", charsets[i]);
    }
    is(CHARSET_ASCII, 3, "the last set of characters");
    for (int i = MD_BUCKET_UNUSED + 1; i < MD_BUCKET_KINDS; i++) {
        const char *kind = profile_kind((enum md_bucket_kind)i)->name;
        read_line(&reading, (const char *[]){"memtop", "x", "--kind", kind, NULL});
        is(reading.options.view.kind, i, "--kind %s", kind);
    }
    read_line(&reading,
              (const char *[]){"memtop", "-d", "500ms", "leaks", "-n", "3", "--exclude=a", "x",
                               "--exclude", "b", "--all", "--exit-code", "7", "-o", "f", NULL});
    ok(reading.wants == LINE_COMMAND && reading.command == &commands[COMMAND_LEAKS] &&
           reading.options.interval_given && reading.options.view.interval_seconds == 0.5 &&
           reading.options.count == 3 && reading.options.exclude_count == 2 &&
           strcmp(reading.options.excludes[1], "b") == 0 && reading.options.leak_status == 7 &&
           reading.options.all && strcmp(reading.options.output, "f") == 0 &&
           reading.options.argument_count == 1,
       "options before and behind the command and its operand");
    read_line(&reading, (const char *[]){"memtop", "run", "--json", "-e", "gc=ready", "ls", "--all",
                                         "-d", NULL});
    ok(reading.wants == LINE_COMMAND && reading.options.json && !reading.options.all &&
           reading.options.argument_count == 3 && strcmp(reading.options.arguments[2], "-d") == 0 &&
           reading.options.setting_count == 1,
       "a program of run keeps its own options");
    read_line(&reading, (const char *[]){"memtop", "-p", "12", "heap", NULL});
    ok(reading.command == &commands[COMMAND_HEAP] && reading.options.argument_count == 1 &&
           strcmp(reading.options.arguments[0], "12") == 0,
       "-p is the target");
    read_line(&reading, (const char *[]){"memtop", "-b", NULL});
    ok(reading.command == &commands[COMMAND_LIST] && reading.options.batch, "memtop alone");
    read_line(&reading, (const char *[]){"memtop", "-b", "redis-server", NULL});
    ok(reading.command == &commands[COMMAND_TOP] && reading.options.argument_count == 1,
       "memtop TARGET");
}

/* Where it is wrong, what is said. */
static void test_wrong(void)
{
    static const struct {
        const char *argv[6], *said;
    } lines[] = {
        {{"memtop", "--nonsense"}, "unknown option --nonsense\nmemtop -h shows the usage\n"},
        {{"memtop", "gc", "--nonsense"},
         "unknown option --nonsense\nusage: memtop gc TARGET [-p PID] [-d SECS] [--json]\n"},
        {{"memtop", "--no"}, "unknown option --no\nmemtop -h shows the usage\n"}, /* of two */
        {{"memtop", "-d"}, "-d needs a value\nmemtop -h shows the usage\n"},
        {{"memtop", "-d", "x"}, "-d x: seconds are wanted, as 2, 0.5 or 500ms\n"},
        {{"memtop", "-d", "0"}, "-d 0: seconds are wanted, as 2, 0.5 or 500ms\n"},
        {{"memtop", "-n", "0"}, "-n 0: a number above 0 is wanted\n"},
        {{"memtop", "-n", "-3"}, "-n -3: a number above 0 is wanted\n"},
        {{"memtop", "-p", "abc"}, "-p abc: a pid is wanted\n"},
        {{"memtop", "--charset", "utf"}, "--charset=utf: auto, braille, block or ascii\n"},
        {{"memtop", "x", "--kind", "cpu"}, "--kind=cpu: heap, mmap, peak or pinned\n"},
        {{"memtop", "leaks", "--by=x"}, "--by=x: stack, function, type, module or size\n"},
        {{"memtop", "leaks", "--by="}, "--by=: stack, function, type, module or size\n"},
        {{"memtop", "leaks", "--since", "never"},
         "--since never: a time is wanted, as 30s, 5m or 1h\n"},
        {{"memtop", "leaks", "--exit-code", "256"},
         "--exit-code 256: a number up to 255 is wanted\n"},
        {{"memtop", "ps", "x"},
         "ps: too many arguments\nusage: memtop ps [--all] [-b] [--json|--csv]\n"},
        {{"memtop", "unit"},
         "unit: something is missing\nusage: memtop unit NAME [KEY=VALUE]... [--install]\n"},
        {{"memtop", "report", "-b"}, "report is not in this version\n"},
        {{"memtop", "leak", "1"}, "unknown command leak, nearest: leaks (memtop -h lists all)\n"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct reading reading;
        char wanted[256];
        read_line(&reading, lines[i].argv);
        snprintf(wanted, sizeof wanted, "memtop: %s", lines[i].said);
        if (!ok(reading.wants == LINE_WRONG && strcmp(reading.said, wanted) == 0, "%s",
                lines[i].said))
            tap_print("# said: %s", reading.said);
    }
    const char *argv[2 * CLI_LIST_MAX + 6] = {"memtop", "run"};
    struct reading reading;
    for (size_t i = 0; i <= CLI_LIST_MAX; i++) {
        argv[2 + 2 * i] = "-e";
        argv[3 + 2 * i] = "gc=ready";
    }
    read_line(&reading, argv);
    ok(reading.wants == LINE_WRONG && strcmp(reading.said, "memtop: -e is given too often\n") == 0,
       "more than there is room for");
}

int main(void)
{
    test_table();
    test_parser();
    test_help();
    test_values();
    test_wrong();
    return tap_done();
}
