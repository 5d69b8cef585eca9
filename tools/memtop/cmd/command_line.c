#include "command_line.h"

#include "cmd_help.h"
#include "series/units.h"
#include "base/spelling.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* getopt_long returns this and the option's number for a word, and a letter as it is. */
#define WORD_BASE 256

struct line {
    struct options *options;
    const struct command *command;
    const char *reserved;                  /* a reserved command that is named instead */
    const char *pid;                       /* -p */
    enum cli_option used[CLI_OPTIONS_END]; /* each once, in the order of the line */
    size_t used_count;
};

/* Makes getopt_long's tables, of the options of all commands, as the command may follow them. */
static void getopt_tables(char letters[2 * CLI_OPTIONS_END + 3],
                          struct option words[CLI_OPTIONS_END])
{
    /* '-': words that are no options are returned in order, so that reading can stop at run's
     * program, which has options of its own.  ':': a missing argument is returned as such. */
    size_t length = 0, count = 0;
    letters[length++] = '-';
    letters[length++] = ':';
    for (int id = CLI_NONE + 1; id < CLI_OPTIONS_END; id++) {
        const struct option_spelling *spelling = &option_spellings[id];
        bool argument = spelling->argument[0] != '\0';
        if (spelling->letter) {
            letters[length++] = spelling->letter;
            if (argument)
                letters[length++] = ':';
        }
        if (spelling->word[0] != '\0')
            words[count++] = (struct option){
                spelling->word, argument ? required_argument : no_argument, NULL, WORD_BASE + id};
    }
    letters[length] = '\0';
    words[count] = (struct option){0};
}

static enum cli_option option_of(int answer)
{
    if (answer >= WORD_BASE)
        return (enum cli_option)(answer - WORD_BASE);
    for (int id = CLI_NONE + 1; id < CLI_OPTIONS_END; id++)
        if (option_spellings[id].letter == answer)
            return (enum cli_option)id;
    return CLI_NONE;
}

static bool wrong_value(enum cli_option id, const char *value, const char *wanted)
{
    char name[OPTION_TEXT_SIZE];
    option_name(id, name);
    cli_error("%s%s%.40s: %s", name, option_has_words(id) ? "=" : " ", value, wanted);
    return false;
}

/* The number of a value among the option's words.  False: it is none of them; said on stderr. */
static bool take_word(enum cli_option id, const char *value, unsigned *index)
{
    char wanted[OPTION_TEXT_SIZE] = "";
    size_t length, said = 0;
    const char *word;
    for (*index = 0; (word = option_word(id, *index, &length)); ++*index) {
        if (strlen(value) == length && memcmp(word, value, length) == 0)
            return true;
        const char *before = *index == 0 ? "" : word[length] == '|' ? ", " : " or ";
        said += (size_t)snprintf(wanted + said, sizeof wanted - said, "%s%.*s", before, (int)length,
                                 word);
    }
    return wrong_value(id, value, wanted);
}

static bool take_number(const char *value, long *number)
{
    char *end;
    errno = 0;
    *number = strtol(value, &end, 10);
    return value[0] >= '0' && value[0] <= '9' && *end == '\0' && !errno;
}

/* Adds one more to a list.  False: it is full; said on stderr. */
static bool take_one_more(enum cli_option id, const char *value, const char *list[CLI_LIST_MAX],
                          size_t *count)
{
    char name[OPTION_TEXT_SIZE];
    if (*count == CLI_LIST_MAX) {
        option_name(id, name);
        cli_error("%s is given too often", name);
        return false;
    }
    list[(*count)++] = value;
    return true;
}

/* Puts one option into the struct.  False: its value is wrong; said on stderr. */
static bool take_option(struct line *line, enum cli_option id, const char *value)
{
    struct options *options = line->options;
    unsigned index;
    char *end;
    long number;
    switch (id) {
    case CLI_PID:
        line->pid = value;
        return (strtol(value, &end, 10) > 0 && *end == '\0') ||
               wrong_value(id, value, "a pid is wanted");
    case CLI_INTERVAL:
        options->interval_given = true;
        return (units_parse_seconds(value, &options->view.interval_seconds) &&
                options->view.interval_seconds >= 0.01) ||
               wrong_value(id, value, "seconds are wanted, as 2, 0.5 or 500ms");
    case CLI_COUNT:
        return (take_number(value, &options->count) && options->count > 0) ||
               wrong_value(id, value, "a number above 0 is wanted");
    case CLI_BATCH:
        return options->batch = true;
    case CLI_JSON:
        return options->json = true;
    case CLI_HISTORY:
        return options->history = true;
    case CLI_CSV:
        return options->csv = true;
    case CLI_SPEED:
        if (strcmp(value, "max") == 0) {
            options->speed = INFINITY;
            return true;
        }
        options->speed = strtod(value, &end);
        return (value[0] >= '0' && value[0] <= '9' && *end == '\0' && options->speed > 0 &&
                options->speed <= 1e6) ||
               wrong_value(id, value, "a number above 0 is wanted, or max");
    case CLI_SCHEMA:
        return options->schema = true;
    case CLI_ALL:
        return options->all = true;
    case CLI_OUTPUT:
        options->output = value;
        return true;
    case CLI_CHARSET:
        if (!take_word(id, value, &index))
            return false;
        options->view.charset = (enum charset)index;
        return true;
    case CLI_KIND:
        if (!take_word(id, value, &index))
            return false;
        options->view.kind = (enum md_bucket_kind)(MD_BUCKET_UNUSED + 1 + index);
        return true;
    case CLI_NO_COLOR:
        options->view.color = false;
        return true;
    case CLI_SETTING:
        return take_one_more(id, value, options->settings, &options->setting_count);
    case CLI_LIVE:
        return options->live = true;
    case CLI_ALLOCS:
        return options->allocs = true;
    case CLI_LEAKS:
        return options->leaks = true;
    case CLI_BY:
        if (!take_word(id, value, &index))
            return false;
        options->by = (enum leaks_by)index;
        options->by_given = true;
        return true;
    case CLI_SINCE:
        return units_parse_seconds(value, &options->since_seconds) ||
               wrong_value(id, value, "a time is wanted, as 30s, 5m or 1h");
    case CLI_DIFF:
        options->diff = value;
        return true;
    case CLI_EXCLUDE:
        return take_one_more(id, value, options->excludes, &options->exclude_count);
    case CLI_SUPPRESSIONS:
        options->suppressions = value;
        return true;
    case CLI_NO_CYCLE:
        return options->no_cycle = true;
    case CLI_EXIT_CODE:
        if (!take_number(value, &number) || number > 255)
            return wrong_value(id, value, "a number up to 255 is wanted");
        options->leak_status = (int)number;
        return true;
    case CLI_FAIL_IF:
        return take_one_more(id, value, options->conditions, &options->condition_count);
    case CLI_INSTALL:
        return options->install = true;
    case CLI_LISTEN:
        options->listen = value;
        return true;
    case CLI_TOKEN_FILE:
        options->token_file = value;
        return true;
    case CLI_TLS_CERT:
        options->tls_cert = value;
        return true;
    case CLI_TLS_KEY:
        options->tls_key = value;
        return true;
    case CLI_ALLOW_HOST:
        return take_one_more(id, value, options->allow_hosts, &options->allow_host_count);
    case CLI_ALLOW_ACTIONS:
        return options->allow_actions = true;
    case CLI_HELP: /* read_options has handled these */
    case CLI_VERSION:
    case CLI_NONE:
    case CLI_OPTIONS_END:
        return false;
    }
    return false;
}

/* The command that `word` may be a typing slip of; NULL: there is none. */
static const char *nearest_command(const char *word)
{
    const char *nearest = NULL;
    unsigned least = strlen(word) < 4 ? 2 : 3; /* farther is no slip */
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        const char *name = commands[i].name;
        unsigned distance = spelling_distance(word, name);
        if (name[0] != '\0' && isalpha((unsigned char)word[0]) && distance < least) {
            least = distance;
            nearest = name;
        }
    }
    return nearest;
}

static enum line_wants wrong_usage(const struct command *command)
{
    if (command)
        help_usage(stderr, command);
    else
        fprintf(stderr, "memtop -h shows the usage\n");
    return LINE_WRONG;
}

/* A word that is no option: the command, or something for it. */
static void take_operand(struct line *line, char *word)
{
    struct options *options = line->options;
    if (!line->command && !line->reserved && options->argument_count == 0) {
        line->command = command_find(word);
        line->reserved = command_is_reserved(word) ? word : NULL;
        if (line->command || line->reserved)
            return;
    }
    options->arguments[options->argument_count++] = word;
}

/* Reads options, and what stands between them. */
static enum line_wants read_options(int argc, char **argv, struct line *line)
{
    char letters[2 * CLI_OPTIONS_END + 3];
    struct option words[CLI_OPTIONS_END];
    bool used[CLI_OPTIONS_END] = {false};
    int answer;
    getopt_tables(letters, words);
    opterr = 0;
    optind = 0; /* the GNU way to begin anew */
    while ((answer = getopt_long(argc, argv, letters, words, NULL)) != -1) {
        if (answer == 1) {
            take_operand(line, optarg);
            if (line->command == &commands[COMMAND_RUN] && line->options->argument_count > 0)
                break; /* the rest is its program's */
            continue;
        }
        if (answer == ':' || answer == '?') {
            cli_error(answer == ':' ? "%.60s needs a value" : "unknown option %.60s",
                      argv[optind - 1]);
            return wrong_usage(line->command);
        }
        enum cli_option id = option_of(answer);
        if (id == CLI_HELP || id == CLI_VERSION)
            return id == CLI_HELP ? LINE_HELP : LINE_VERSION;
        if (!take_option(line, id, optarg))
            return LINE_WRONG;
        if (!used[id])
            line->used[line->used_count++] = id;
        used[id] = true;
    }
    while (optind < argc)
        line->options->arguments[line->options->argument_count++] = argv[optind++];
    if (line->pid)
        line->options->arguments[line->options->argument_count++] = (char *)line->pid;
    return LINE_COMMAND;
}

/* Whether the command takes the options and operands that were read. */
static enum line_wants check(const struct line *line)
{
    const struct command *command = line->command;
    size_t count = line->options->argument_count;
    for (size_t i = 0; i < line->used_count; i++)
        if (!command_takes(command, line->used[i])) {
            char name[OPTION_TEXT_SIZE];
            option_name(line->used[i], name);
            cli_error("%s: not an option of memtop%s%s", name, command->name[0] ? " " : "",
                      command->name);
            return wrong_usage(command);
        }
    if (count >= command->fewest && count <= command->most)
        return LINE_COMMAND;
    cli_error(count < command->fewest ? "%s: something is missing" : "%s: too many arguments",
              command->name[0] ? command->name : "memtop");
    return wrong_usage(command);
}

enum line_wants command_line_read(int argc, char **argv, struct options *options,
                                  const struct command **command)
{
    struct line line = {.options = options};
    enum line_wants wants = read_options(argc, argv, &line);
    *command = line.command;
    if (wants != LINE_COMMAND)
        return wants;
    const char *first = options->argument_count > 0 ? options->arguments[0] : NULL;
    options->slip_of = first ? nearest_command(first) : NULL;
    if (line.reserved) {
        cli_error("%s is not in this version", line.reserved);
        return LINE_WRONG;
    }
    /* A target would be one word. */
    if (!line.command && options->slip_of && options->argument_count > 1) {
        cli_error("unknown command %.40s, nearest: %s (memtop -h lists all)", first,
                  options->slip_of);
        return LINE_WRONG;
    }
    if (!line.command)
        *command = line.command = &commands[first ? COMMAND_TOP : COMMAND_LIST];
    return check(&line);
}
