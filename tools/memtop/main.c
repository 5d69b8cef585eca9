/* memtop's command line: which commands there are, and reading what is said to them. */
#include "cmd/cli.h"
#include "cmd/commands.h"
#include "series/names.h"
#include "series/units.h"
#include "target/bus_error.h"
#include "base/spelling.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct command {
    const char *name;
    int (*run)(const struct options *options); /* NULL: not in this version */
    size_t least, most;                        /* arguments */
    const char *accepts; /* option letters beside -h and -V; J json, A all, L allocs, C charset and
                            color, V live, K leaks, I install, Q what is told of leaks */
    const char *usage;
};

static int command_help(const struct options *options);

static const struct command commands[] = {
    {"", command_list, 0, 0, "dnbJCA", "memtop [-d SECS] [-n COUNT] [-b] [--json]"},
    {"ps", command_ps, 0, 0, "bJA", "memtop ps [--all] [--json]"},
    {"top", command_watch, 0, 1, "dnbJCop",
     "memtop top [TARGET] [-d SECS] [-n COUNT] [-b] [--json]"},
    {"run", command_run, 1, SIZE_MAX, "dJCeoV",
     "memtop run [--live] [-e KEY=VALUE]... -- PROGRAM [ARGUMENT...]"},
    {"tail", command_tail, 0, SIZE_MAX, "dbJC", "memtop tail [FILE|TARGET...|-] [-b] [--json]"},
    {"heap", command_heap, 0, 1, "bopLK",
     "memtop heap TARGET|PROFILE [-b] [-o FILE] [--allocs|--leaks]"},
    {"leaks", command_leaks, 0, 1, "dnJopAQ",
     "memtop leaks TARGET [--by=stack|function|type|module|size] [--since TIME]\n"
     "                    [--diff PROFILE] [--exclude FUNCTION]... [--suppressions FILE] "
     "[--no-cycle]\n"
     "                    [--exit-code N] [-n COUNT|--all] [--json] [-o FILE]"},
    {"gc", command_gc, 0, 1, "dpJ", "memtop gc TARGET [-d SECS]"},
    {"unit", command_unit, 1, SIZE_MAX, "I", "memtop unit NAME [KEY=VALUE]... [--install]"},
    {"container", command_container, 0, SIZE_MAX, "", "memtop container [KEY=VALUE]..."},
    {"help", command_help, 0, 1, "", "memtop help [COMMAND]"},
    {"stat", NULL, 0, 0, "", ""},
    {"set", NULL, 0, 0, "", ""},
    {"record", NULL, 0, 0, "", ""},
    {"replay", NULL, 0, 0, "", ""},
    {"diff", NULL, 0, 0, "", ""},
    {"serve", NULL, 0, 0, "", ""},
};
static const size_t command_count = sizeof commands / sizeof commands[0];

static const char help[] =
    "memtop [TARGET]           watch programs that run on memdebug; TARGET is a pid, a name, or a\n"
    "                          segment file (also of a dead process)\n"
    "memtop ps [--all]         list them; --all also the others, and why they are not\n"
    "memtop run -- PROG ARGS   run a program on memdebug, with a summary at its end\n"
    "memtop heap TARGET        its heap profile: a table on a terminal or with -b, else pprof "
    "bytes;\n"
    "                          -o FILE writes FILE, a PROFILE is shown as a table\n"
    "memtop leaks TARGET       what leaks, by call stack: asks for two cycles, then tells\n"
    "memtop gc TARGET          ask for a cycle and print its line\n"
    "memtop tail [FILE|-]      chart gctrace lines, ours or a Go program's (GODEBUG=gctrace=1)\n"
    "memtop tail TARGET        the lines of a process, wherever it has put its stderr\n"
    "memtop unit NAME          the drop-in that puts memdebug into a systemd service, with what "
    "its\n"
    "                          sandbox keeps from working; --install; KEY=VALUE as in MEMDEBUG\n"
    "memtop container          the same for a container: Dockerfile, docker, Kubernetes\n"
    "\n"
    "  -p PID        the target, as a pid          -d SECS     between updates (1, 0.5, 500ms)\n"
    "  -b            batch: text, no terminal      -n COUNT    stop after that many updates\n"
    "  --json        one JSON object per line      -o FILE     write there\n"
    "  --allocs      heap: what was allocated, not what is in use; --leaks: what leaks\n"
    "  -e KEY=VALUE  run: a MEMDEBUG option        --live      run: watch meanwhile\n"
    "  leaks: --by=stack|function|type|module|size --since TIME  allocated in the last TIME\n"
    "  --exclude FUNCTION  --suppressions FILE     --diff PROFILE  what it did not have\n"
    "  --no-cycle    as the last cycles saw it     --exit-code N   status if there are leaks\n"
    "  --charset=auto|braille|block|ascii          --no-color  (or NO_COLOR)\n"
    "  -h, --help, memtop help [COMMAND]           -V, --version\n";

static int usage_error(const struct command *command)
{
    if (command && command->usage[0] != '\0')
        fprintf(stderr, "usage: %s\n", command->usage);
    else
        fprintf(stderr, "memtop -h shows the usage\n");
    return EXIT_USAGE;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 1; i < command_count; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* The command that `word` may be a slip of; NULL: none. */
static const char *nearest_command(const char *word)
{
    const char *nearest = NULL;
    unsigned least = strlen(word) < 4 ? 2 : 3; /* farther is no slip */
    for (size_t i = 1; i < command_count; i++) {
        unsigned distance = spelling_distance(word, commands[i].name);
        if (commands[i].run && isalpha((unsigned char)word[0]) && distance < least) {
            least = distance;
            nearest = commands[i].name;
        }
    }
    return nearest;
}

/* `command` may be NULL. */
static void print_help(const struct command *command)
{
    if (command && command->usage[0] != '\0')
        printf("usage: %s\n\n", command->usage);
    printf("%s", help);
}

static int command_help(const struct options *options)
{
    const char *word = options->argument_count > 0 ? options->arguments[0] : NULL;
    const struct command *command = word ? find_command(word) : NULL;
    if (word && (!command || !command->run)) {
        const char *nearest = options->slip_of;
        cli_error("unknown command %.40s%s%s (memtop -h lists all)", word,
                  nearest ? ", nearest: " : "", nearest ? nearest : "");
        return EXIT_USAGE;
    }
    print_help(command);
    return EXIT_DONE;
}

static bool parse_charset(const char *text, enum charset *charset)
{
    static const char *const names[] = {"auto", "braille", "block", "ascii"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0) {
            *charset = (enum charset)i;
            return true;
        }
    return false;
}

static bool parse_by(const char *text, enum leaks_by *by)
{
    static const char *const names[] = {"stack", "function", "type", "module", "size"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0) {
            *by = (enum leaks_by)i;
            return true;
        }
    return false;
}

enum {
    OPTION_JSON = 256,
    OPTION_ALL,
    OPTION_ALLOCS,
    OPTION_CHARSET,
    OPTION_NO_COLOR,
    OPTION_LIVE,
    OPTION_LEAKS,
    OPTION_BY,
    OPTION_SINCE,
    OPTION_DIFF,
    OPTION_EXCLUDE,
    OPTION_SUPPRESSIONS,
    OPTION_NO_CYCLE,
    OPTION_EXIT_CODE,
    OPTION_INSTALL
};

static const struct option long_options[] = {
    {"json", no_argument, NULL, OPTION_JSON},
    {"all", no_argument, NULL, OPTION_ALL},
    {"allocs", no_argument, NULL, OPTION_ALLOCS},
    {"charset", required_argument, NULL, OPTION_CHARSET},
    {"no-color", no_argument, NULL, OPTION_NO_COLOR},
    {"live", no_argument, NULL, OPTION_LIVE},
    {"leaks", no_argument, NULL, OPTION_LEAKS},
    {"by", required_argument, NULL, OPTION_BY},
    {"since", required_argument, NULL, OPTION_SINCE},
    {"diff", required_argument, NULL, OPTION_DIFF},
    {"exclude", required_argument, NULL, OPTION_EXCLUDE},
    {"suppressions", required_argument, NULL, OPTION_SUPPRESSIONS},
    {"no-cycle", no_argument, NULL, OPTION_NO_CYCLE},
    {"exit-code", required_argument, NULL, OPTION_EXIT_CODE},
    {"install", no_argument, NULL, OPTION_INSTALL},
    {"batch", no_argument, NULL, 'b'},
    {"pid", required_argument, NULL, 'p'},
    {"output", required_argument, NULL, 'o'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {0},
};

/* The same of those that memtop leaks has alone. */
static bool take_leaks_option(struct options *options, int letter, const char *value)
{
    char *end;
    long status;
    switch (letter) {
    case OPTION_BY:
        if (parse_by(value, &options->by))
            return true;
        cli_error("--by=%.40s: stack, function, type, module or size", value);
        return false;
    case OPTION_SINCE:
        if (units_parse_seconds(value, &options->since_seconds))
            return true;
        cli_error("--since %.40s: a time is wanted, as 30s, 5m or 1h", value);
        return false;
    case OPTION_DIFF:
        options->diff = value;
        return true;
    case OPTION_SUPPRESSIONS:
        options->suppressions = value;
        return true;
    case OPTION_NO_CYCLE:
        return options->no_cycle = true;
    case OPTION_EXCLUDE:
        if (options->exclude_count == sizeof options->excludes / sizeof options->excludes[0]) {
            cli_error("--exclude is given too often");
            return false;
        }
        options->excludes[options->exclude_count++] = value;
        return true;
    case OPTION_EXIT_CODE:
        status = strtol(value, &end, 10);
        options->leak_status = (int)status;
        if (value[0] >= '0' && value[0] <= '9' && *end == '\0' && status <= 255)
            return true;
        cli_error("--exit-code %.40s: a number up to 255 is wanted", value);
        return false;
    default:
        return false;
    }
}

/* One option into the struct; false with a message if its value is bad. */
static bool take_option(struct options *options, int letter, const char *value, const char **pid,
                        char *used)
{
    char *end;
    switch (letter) {
    case 'd':
        *used = 'd';
        options->interval_given = true;
        if (units_parse_seconds(value, &options->view.interval_seconds) &&
            options->view.interval_seconds >= 0.01)
            return true;
        cli_error("-d %.40s: seconds are wanted, as 2, 0.5 or 500ms", value);
        return false;
    case 'n':
        *used = 'n';
        errno = 0;
        options->count = strtol(value, &end, 10);
        if (value[0] >= '0' && value[0] <= '9' && *end == '\0' && !errno && options->count > 0)
            return true;
        cli_error("-n %.40s: a number above 0 is wanted", value);
        return false;
    case OPTION_CHARSET:
        *used = 'C';
        if (parse_charset(value, &options->view.charset))
            return true;
        cli_error("--charset=%.40s: auto, braille, block or ascii", value);
        return false;
    case 'p':
        *used = 'p';
        *pid = value;
        if (strtol(value, &end, 10) > 0 && *end == '\0')
            return true;
        cli_error("-p %.40s: a pid is wanted", value);
        return false;
    case 'e':
        *used = 'e';
        if (options->setting_count == sizeof options->settings / sizeof options->settings[0]) {
            cli_error("-e is given too often");
            return false;
        }
        options->settings[options->setting_count++] = value;
        return true;
    case 'o':
        *used = 'o';
        options->output = value;
        return true;
    case 'b':
        *used = 'b';
        options->batch = true;
        return true;
    case OPTION_JSON:
        *used = 'J';
        return options->json = true;
    case OPTION_ALL:
        *used = 'A';
        return options->all = true;
    case OPTION_ALLOCS:
        *used = 'L';
        return options->allocs = true;
    case OPTION_LIVE:
        *used = 'V';
        return options->live = true;
    case OPTION_INSTALL:
        *used = 'I';
        return options->install = true;
    case OPTION_LEAKS:
        *used = 'K';
        return options->leaks = true;
    case OPTION_NO_COLOR:
        *used = 'C';
        options->view.color = false;
        return true;
    default:
        *used = 'Q';
        return take_leaks_option(options, letter, value);
    }
}

static void setup(void)
{
    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C"); /* numbers are read by programs too */
    signal(SIGPIPE, SIG_IGN);   /* a closed reader is a failed write, not a death */
    /* Descriptors 0 to 2 closed: what we open must not become standard error. */
    for (int fd = 0; fd <= 2; fd++)
        if (ttyname(fd) == NULL && errno == EBADF &&
            !freopen("/dev/null", fd ? "w" : "r",
                     fd == 0   ? stdin
                     : fd == 1 ? stdout
                               : stderr))
            break;
}

static int run_command(int argc, char **argv)
{
    const char *no_color = getenv("NO_COLOR"), *pid = NULL;
    struct options options = {.view = {.interval_seconds = 1, .color = !(no_color && no_color[0])}};
    const struct command *command = NULL;
    char used[64] = "", one;
    size_t used_count = 0;
    setup();
    options.arguments = calloc((size_t)argc + 2, sizeof options.arguments[0]);
    if (!options.arguments)
        return EXIT_FAILED;
    opterr = 0;
    int letter;
    /* '-': words that are no options come one by one, so that a command's program keeps its own. */
    while ((letter = getopt_long(argc, argv, "-:d:n:bp:o:e:hV", long_options, NULL)) != -1) {
        if (letter == 1) {
            if (!command && options.argument_count == 0 && (command = find_command(optarg)))
                continue;
            options.arguments[options.argument_count++] = optarg;
            if (command && command->run == command_run)
                break;
            continue;
        }
        if (letter == 'h') {
            print_help(command);
            free(options.arguments);
            return EXIT_DONE;
        }
        if (letter == 'V') {
            printf("memtop " MEMDEBUG_VERSION "\n");
            free(options.arguments);
            return EXIT_DONE;
        }
        if (letter == ':' || letter == '?') {
            if (letter == ':')
                cli_error("%.60s needs a value", argv[optind - 1]);
            else
                cli_error("unknown option %.60s", argv[optind - 1]);
            free(options.arguments);
            return usage_error(command);
        }
        if (!take_option(&options, letter, optarg, &pid, &one)) {
            free(options.arguments);
            return EXIT_USAGE;
        }
        if (used_count + 1 < sizeof used)
            used[used_count++] = one;
    }
    while (optind < argc)
        options.arguments[options.argument_count++] = argv[optind++];
    if (pid)
        options.arguments[options.argument_count++] = (char *)pid;
    if (options.argument_count > 0)
        options.slip_of = nearest_command(options.arguments[0]);
    /* A target would be one word. */
    bool mistyped = !command && options.slip_of && options.argument_count > 1;
    if (!command && options.argument_count > 0)
        command = find_command("top");
    else if (!command)
        command = &commands[0];
    int status = EXIT_USAGE;
    size_t bad = strspn(used, command->accepts);
    if (mistyped) {
        cli_error("unknown command %.40s, nearest: %s (memtop -h lists all)", options.arguments[0],
                  options.slip_of);
    } else if (!command->run) {
        cli_error("%s is not in this version", command->name);
    } else if (used[bad] != '\0') {
        static const char of_leaks[] =
            "Q--by, --since, --diff, --exclude, --suppressions, --no-cycle, --exit-code";
        static const char *const spelled[] = {
            "J--json", "A--all",   "L--allocs",  "C--charset, --no-color",
            "V--live", "K--leaks", "I--install", of_leaks};
        char text[96] = {'-', used[bad], '\0'};
        for (size_t i = 0; i < sizeof spelled / sizeof spelled[0]; i++)
            if (spelled[i][0] == used[bad])
                snprintf(text, sizeof text, "%s", spelled[i] + 1);
        cli_error("%s: not an option of memtop %s", text, command->name);
        usage_error(command);
    } else if (options.argument_count < command->least || options.argument_count > command->most) {
        cli_error(options.argument_count < command->least ? "%s: something is missing"
                                                          : "%s: too many arguments",
                  command->name[0] ? command->name : "memtop");
        usage_error(command);
    } else {
        status = command->run(&options);
    }
    free(options.arguments);
    return status;
}

int main(int argc, char **argv)
{
    bus_error_survive();
    int status = run_command(argc, argv);
    if (cli_flush() == EXIT_FAILED && status == EXIT_DONE)
        status = EXIT_FAILED;
    if (names_running() > 0) /* a thread that still reads DWARF must not meet exit's destructors */
        _exit(status);
    return status;
}
