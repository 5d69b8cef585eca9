/* memtop heap: a heap profile from a target, as a table, as bytes, or as a file. */
#include "cli.h"
#include "commands.h"
#include "target/discover.h"
#include "target/save.h"
#include "target/source.h"
#include "view/top.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *wanted_type(const struct options *options)
{
    return options->allocs ? "alloc_space" : options->leaks ? "leak_space" : NULL;
}

static int print_table(const struct profile *profile, const char *type)
{
    int index = profile_sample_index(profile, type);
    struct top top;
    struct top_options how = TOP_OPTIONS_PPROF;
    how.count = 40;
    int status = EXIT_DONE;
    if (index < 0) {
        cli_error("the profile has no %s%s", type ? type : "sample type",
                  type && strcmp(type, "leak_space") == 0 ? ": no cycle had been done" : "");
        return EXIT_FAILED;
    }
    if (top_build(&top, profile, index, &how)) {
        top_print(&top, profile, true, stdout);
    } else {
        cli_error("out of memory");
        status = EXIT_FAILED;
    }
    top_fini(&top);
    return status;
}

/* A profile is told from a segment by its first bytes: gzip's, or plain protobuf's. */
static bool is_profile(const char *path)
{
    struct stat st;
    unsigned char magic[8] = {0};
    if (stat(path, &st) != 0 || S_ISDIR(st.st_mode))
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, magic, sizeof magic);
    close(fd);
    return n >= 2 && memcmp(magic, MD_SEGMENT_MAGIC, sizeof magic) != 0 &&
           (magic[0] == 0x1f || magic[0] == 0x0a);
}

/* A table for a person, the profile itself for a program; -b says that a table is wanted all the
 * same. */
static bool wants_table(const struct options *options)
{
    return options->batch || isatty(STDOUT_FILENO);
}

static int show_profile_file(const char *path, const struct options *options)
{
    struct profile profile;
    char error[VIEW_ERROR_SIZE];
    if (pprof_read(&profile, path, PPROF_LIMIT, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    int status;
    if (options->output || !wants_table(options)) {
        uint8_t *bytes;
        size_t size;
        int result = 0;
        if (!options->output) {
            result = pprof_write(&profile, STDOUT_FILENO, error);
        } else if ((result = pprof_encode(&profile, &bytes, &size, error)) == 0) {
            result = save_file(options->output, bytes, size, error);
            free(bytes);
        }
        if (result)
            cli_error("%s", error);
        status = result ? EXIT_FAILED : EXIT_DONE;
    } else {
        status = print_table(&profile, wanted_type(options));
    }
    profile_fini(&profile);
    return status;
}

static int heap_of_target(const struct target *target, const struct options *options)
{
    struct source source;
    struct profile profile;
    char error[VIEW_ERROR_SIZE];
    int result = source_open(&source, target, error);
    if (result) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    cli_missing_names();
    int status = EXIT_FAILED;
    const char *type = wanted_type(options);
    result = source_poll(&source, snapshot_of_profile(source.file.base, source.file.size), error);
    if (result == 0 && source.snapshot.header.counters.samples == 0)
        cli_error("%d %s: no samples yet, the profile is empty", (int)target->pid, target->name);
    if (result == 0 && !options->output && wants_table(options)) {
        result = save_build(&source, type, &profile, error);
        if (result == 0) {
            status = print_table(&profile, type);
            profile_fini(&profile);
        }
    } else if (result == 0) {
        result = save_profile(&source, options->output, STDOUT_FILENO, type, error);
        status = result ? EXIT_FAILED : EXIT_DONE;
    }
    if (result)
        cli_error("%s", error);
    source_close(&source);
    return status;
}

int command_heap(const struct options *options)
{
    if (options->argument_count == 0) {
        cli_error("heap: a TARGET or a PROFILE is wanted; memtop ps lists the targets");
        return EXIT_USAGE;
    }
    const char *text = options->arguments[0];
    if (is_profile(text))
        return show_profile_file(text, options);
    struct target target;
    struct targets matches;
    char message[TARGET_MESSAGE_SIZE];
    int status = target_resolve(text, &target, message, &matches);
    if (status != 0)
        cli_targets(message, &matches);
    else
        status = heap_of_target(&target, options);
    targets_fini(&matches);
    return status;
}
