/* memtop heap, memtop profile: a profile of a target, as a table, as bytes, or in a file. */
#include "cli.h"
#include "commands.h"
#include "target/discover.h"
#include "target/mapped.h"
#include "target/pins.h"
#include "target/save.h"
#include "target/source.h"
#include "view/top.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PINS_SECONDS 2 /* in which a process tells who pins its slabs, if it is not idle */

static const char *wanted_type(const struct options *options)
{
    return options->allocs ? "alloc_space" : options->leaks ? "leak_space" : NULL;
}

struct label_sum {
    const struct profile_label *label;
    int64_t sum;
};

static int greatest_first(const void *a, const void *b)
{
    const struct label_sum *x = a, *y = b;
    return (x->sum < y->sum) - (x->sum > y->sum);
}

/* "mapping: anonymous 89.00MB, stack 16.00MB": what is under each word of the samples' labels. */
static void print_labels(const struct top *top, const struct profile *profile, int index)
{
    struct label_sum sums[16];
    size_t count = 0;
    for (size_t i = 0; i < profile->sample_count; i++) {
        const struct profile_sample *sample = &profile->samples[i];
        for (uint32_t k = 0; k < sample->label_count; k++) {
            const struct profile_label *label = &profile->labels[sample->label_first + k];
            size_t at = 0;
            while (at < count && strcmp(sums[at].label->text, label->text) != 0)
                at++;
            if (!*label->text || at == sizeof sums / sizeof sums[0] ||
                (count && strcmp(sums[0].label->key, label->key) != 0))
                continue;
            if (at == count)
                sums[count++] = (struct label_sum){label, 0};
            int64_t value = profile->values[i * profile->type_count + (size_t)index];
            if (__builtin_add_overflow(sums[at].sum, value, &sums[at].sum))
                sums[at].sum = INT64_MAX;
        }
    }
    char text[TOP_TEXT_SIZE];
    qsort(sums, count, sizeof *sums, greatest_first);
    for (size_t i = 0; i < count; i++) {
        top_value_text(top, sums[i].sum, text);
        if (i == 0)
            printf("%s: ", sums[i].label->key);
        printf("%s%s %s", i ? ", " : "", sums[i].label->text, text);
    }
    if (count)
        putchar('\n');
}

static int print_table(const struct profile *profile, const char *type)
{
    int index = profile_sample_index(profile, type);
    struct top top;
    struct top_options how = TOP_OPTIONS_PPROF;
    how.count = 40;
    how.errors = true;
    int status = EXIT_DONE;
    if (index < 0) {
        cli_error("the profile has no %s%s", type ? type : "sample type",
                  type && strcmp(type, "leak_space") == 0 ? ": no cycle had been done" : "");
        return EXIT_FAILED;
    }
    if (top_build(&top, profile, index, &how)) {
        print_labels(&top, profile, index);
        top_print(&top, profile, true, stdout);
    } else {
        cli_error("out of memory");
        status = EXIT_FAILED;
    }
    top_fini(&top);
    return status;
}

/* Whether a file is a profile, and no segment, by its first bytes: gzip's, or plain protobuf's. */
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

/* Whether to print a table: to a person, who has a terminal, and with -b; a program gets the
 * profile. */
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

/* Why a target on memdebug has nothing of this kind, in a phrase; NULL: it may have. */
static const char *why_none(const struct snapshot *snap, enum md_bucket_kind kind)
{
    if (kind == MD_BUCKET_HEAP)
        return snap->header.counters.samples ? NULL : "no samples yet, the profile is empty";
    if (kind == MD_BUCKET_PEAK)
        return "nothing of this kind is kept: it is with MEMDEBUG=heapprofilepeak=SIZE";
    return kind == MD_BUCKET_MMAP     ? mapped_why_none(snap)
           : kind == MD_BUCKET_PINNED ? pins_why_none(snap)
                                      : NULL;
}

static bool has_bucket(const struct snapshot *snap, enum md_bucket_kind kind)
{
    for (size_t i = 0; i < snap->bucket_count; i++)
        if (snap->buckets[i].kind == (uint32_t)kind)
            return true;
    return false;
}

static int profile_of_target(const struct target *target, enum md_bucket_kind kind,
                             const struct options *options)
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
    unsigned what = snapshot_of_profile(source.file.base, source.file.size);
    if (kind == MD_BUCKET_MMAP)
        what |= SNAPSHOT_MAPPINGS;
    result = kind == MD_BUCKET_PINNED ? pins_fetch(&source, what, PINS_SECONDS, error)
                                      : source_poll(&source, what, error);
    if (result == 0 && kind == MD_BUCKET_MMAP)
        mapped_correct(&source);
    const char *none = result == 0 && !has_bucket(&source.snapshot, kind)
                           ? why_none(&source.snapshot, kind)
                           : NULL;
    if (none)
        cli_error("%d %s: %s", (int)target->pid, target->name, none);
    if (result == 0 && !options->output && wants_table(options)) {
        result = save_build(&source, kind, type, &profile, error);
        if (result == 0) {
            status = print_table(&profile, type);
            profile_fini(&profile);
        }
    } else if (result == 0) {
        result = save_profile(&source, kind, options->output, STDOUT_FILENO, type, error);
        status = result ? EXIT_FAILED : EXIT_DONE;
    }
    if (result)
        cli_error("%s", error);
    source_close(&source);
    return status;
}

static int profile_of(const char *text, enum md_bucket_kind kind, const struct options *options)
{
    struct target target;
    struct targets matches;
    char message[TARGET_MESSAGE_SIZE];
    int status = target_resolve(text, &target, message, &matches);
    if (status != 0)
        cli_targets(message, &matches);
    else
        status = profile_of_target(&target, kind, options);
    targets_fini(&matches);
    return status;
}

int command_heap(const struct options *options)
{
    if (options->argument_count == 0) {
        cli_error("heap: a TARGET or a PROFILE is wanted; memtop ps lists the targets");
        return EXIT_USAGE;
    }
    const char *text = options->arguments[0];
    return is_profile(text) ? show_profile_file(text, options)
                            : profile_of(text, MD_BUCKET_HEAP, options);
}

int command_profile(const struct options *options)
{
    const struct profile_kind *kind =
        options->argument_count == 2 ? profile_kind_named(options->arguments[1]) : NULL;
    if (kind)
        return profile_of(options->arguments[0], kind->bucket_kind, options);
    char kinds[512] = "";
    for (unsigned i = MD_BUCKET_UNUSED + 1; i < MD_BUCKET_KINDS; i++) {
        size_t length = strlen(kinds);
        kind = profile_kind((enum md_bucket_kind)i);
        snprintf(kinds + length, sizeof kinds - length, "%s%s (%s)", length ? ", " : "", kind->name,
                 kind->help);
    }
    cli_error("profile: a TARGET and a KIND are wanted: %s; memtop ps lists the targets", kinds);
    return EXIT_USAGE;
}
