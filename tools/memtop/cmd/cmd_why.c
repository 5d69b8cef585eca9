/* memtop why: who holds a block.  The process answers for addresses (src/gc/ask/why.h); of a call
 * site these are of its live samples. */
#include "cli.h"
#include "commands.h"
#include "series/names.h"
#include "series/ndjson.h"
#include "series/units.h"
#include "target/discover.h"
#include "target/save.h"
#include "target/source.h"
#include "view/plain_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_SECONDS 60
#define SHOWN 3
#define ASKED_MAX 8 /* addresses of a question */
#define WHAT (SNAPSHOT_PROFILE | SNAPSHOT_SAMPLES)
#define NAME_SIZE 512
#define TEXT_SIZE (2 * NAME_SIZE + 128)

/* A path of the answer, as far as it is there, with clean texts. */
struct path {
    struct md_answer_path about;
    const struct md_path_step *step;
    uint32_t count; /* of step[] */
};

struct why {
    const struct options *options;
    struct source source;
    struct names *names;
    struct symbolizer *symbolizer;
    char root[SOURCE_ROOT_SIZE];
};

/* ---- names ---- */

static int compare_samples(const void *a, const void *b)
{
    uint64_t x = ((const struct md_sample *)a)->addr, y = ((const struct md_sample *)b)->addr;
    return x < y ? -1 : x > y;
}

/* The sample of a block; NULL: it has none.  The snapshot's are sorted by address. */
static const struct md_sample *sample_of(const struct snapshot *snapshot, uint64_t block)
{
    struct md_sample key = {.addr = block};
    return bsearch(&key, snapshot->samples, snapshot->sample_count, sizeof key, compare_samples);
}

/* What a stack is called, if its name has been found. */
static const struct stack_names *names_of(struct why *why, uint32_t stack)
{
    if (!stack)
        return NULL;
    names_want(why->names, &why->source.snapshot, stack);
    names_take(why->names);
    const struct stack_names *names = names_find(why->names, stack);
    return names && names->label && *names->label ? names : NULL;
}

/* What allocated a block: "function file.c:12 ← …", "" where it has no sample. */
static const char *allocated_by(struct why *why, uint64_t block)
{
    const struct snapshot *snapshot = &why->source.snapshot;
    const struct md_sample *sample = sample_of(snapshot, block);
    const struct stack_names *names =
        sample ? names_of(why, snapshot->buckets[sample->bucket].stack) : NULL;
    return names ? names->label : "";
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The module that a root lies in: as the segment has it, or made of what the path says. */
static struct md_module module_of(const struct snapshot *snapshot,
                                  const struct md_answer_path *path)
{
    struct md_module made = {.bias = path->word - (uint64_t)path->offset};
    for (size_t i = 0; i < snapshot->module_count; i++)
        if (!snapshot->modules[i].gone && snapshot->modules[i].bias == made.bias)
            return snapshot->modules[i];
    const char *file = *path->path ? path->path : snapshot->header.exe;
    snprintf(made.path, sizeof made.path, "%.400s", file);
    made.path_size = (uint32_t)strlen(made.path);
    return made;
}

/* The variable that the root is, "" if it has no name; the module's path. */
static void name_variable(struct why *why, const struct md_answer_path *path, char name[NAME_SIZE],
                          char file[NAME_SIZE])
{
    struct md_module module = module_of(&why->source.snapshot, path);
    uint64_t offset = 0;
    const char *found = symbolizer_variable(why->symbolizer, &module, path->word, &offset);
    snprintf(file, NAME_SIZE, "%s", module.path);
    name[0] = '\0';
    if (found && offset)
        snprintf(name, NAME_SIZE, "%.400s+0x%" PRIx64, found, offset);
    else if (found)
        snprintf(name, NAME_SIZE, "%.400s", found);
}

/* The function that the frame of a root on a stack belongs to, with its place in the source:
 * "handle pool.c:88"; or "libfoo.so+0x123"; "" where it is not known. */
static void name_frame(struct why *why, const struct md_answer_path *path, char text[NAME_SIZE])
{
    const struct snapshot *snapshot = &why->source.snapshot;
    const struct symbol_frame *frame;
    struct md_module module;
    uint64_t pc = path->pc - 1;
    size_t at = 0;
    bool found = false;
    text[0] = '\0';
    while (path->pc && !found && snapshot_answer_module(snapshot, &at, &module))
        found = pc - module.start < module.limit - module.start;
    if (!found)
        return;
    size_t count = why->symbolizer ? symbolizer_find(why->symbolizer, &module, pc, &frame) : 0;
    if (!count)
        snprintf(text, NAME_SIZE, "%.400s+0x%" PRIx64, base_name(module.path), pc - module.bias);
    else if (frame[count - 1].line)
        snprintf(text, NAME_SIZE, "%.300s %.100s:%" PRIu32, frame[count - 1].function,
                 base_name(frame[count - 1].file), frame[count - 1].line);
    else
        snprintf(text, NAME_SIZE, "%.400s", frame[count - 1].function);
}

/* "server+0x150 in redis-server". */
static void root_text(struct why *why, const struct md_answer_path *path, char text[TEXT_SIZE])
{
    char name[NAME_SIZE], file[NAME_SIZE];
    switch ((enum md_root)path->root) {
    case MD_ROOT_REGISTER:
        snprintf(text, TEXT_SIZE, "a register of thread %" PRIu32 " %s", path->tid, path->thread);
        return;
    case MD_ROOT_STACK:
        name_frame(why, path, name);
        snprintf(text, TEXT_SIZE,
                 "the stack of thread %" PRIu32 " %s, %s%s%" PRId64
                 " bytes above its stack pointer",
                 path->tid, path->thread, name, *name ? ", " : "", path->offset);
        return;
    case MD_ROOT_TLS:
        snprintf(text, TEXT_SIZE,
                 "a thread-local of thread %" PRIu32 " %s, at its pointer %+" PRId64, path->tid,
                 path->thread, path->offset);
        return;
    case MD_ROOT_MODULE:
        name_variable(why, path, name, file);
        if (*name)
            snprintf(text, TEXT_SIZE, "%s in %s", name, base_name(file));
        else
            snprintf(text, TEXT_SIZE, "%s+0x%" PRIx64, base_name(file), (uint64_t)path->offset);
        return;
    case MD_ROOT_MAPPING:
        snprintf(text, TEXT_SIZE, "%s at 0x%" PRIx64 "+0x%" PRIx64,
                 *path->path ? path->path : "anonymous memory", path->mapping_start,
                 (uint64_t)path->offset);
        return;
    case MD_ROOT_NONE:
    case MD_ROOT_OTHER:
        break;
    }
    snprintf(text, TEXT_SIZE, "a stack in the heap or on a signal stack, or code made at run time");
}

/* ---- output ---- */

static const char *state_name(const struct md_answer_path *path)
{
    switch ((enum md_path_state)path->state) {
    case MD_PATH_NO_HEAP:
        return "no_heap";
    case MD_PATH_FREE:
        return "free";
    case MD_PATH_DOUBTED:
        return "in_doubt";
    case MD_PATH_UNREACHED:
        return "unreachable";
    case MD_PATH_REACHED:
        return "reachable";
    }
    return "unknown";
}

static void print_step(struct why *why, const struct md_path_step *step, bool last)
{
    char size[UNITS_SIZE], offset[32] = "";
    const char *by = allocated_by(why, step->block);
    if (!last)
        snprintf(offset, sizeof offset, "+%" PRIu64, step->offset);
    printf("  -> 0x%" PRIx64 "%s  %s%s%s\n", step->block, offset,
           units_bytes(size, (double)step->size), *by ? "  " : "", by);
}

static void print_path(struct why *why, const struct path *answer)
{
    const struct md_answer_path *path = &answer->about;
    char size[UNITS_SIZE], root[TEXT_SIZE], inside[48] = "";
    const char *by = path->block ? allocated_by(why, path->block) : "";
    if (path->block && path->address != path->block)
        snprintf(inside, sizeof inside, ", in the block at 0x%" PRIx64, path->block);
    printf("0x%" PRIx64 "%s", path->address, inside);
    if (path->block)
        printf("  %s%s%s", units_bytes(size, (double)path->size), *by ? "  " : "", by);
    switch ((enum md_path_state)path->state) {
    case MD_PATH_NO_HEAP:
        printf(": none of the heap's\n");
        return;
    case MD_PATH_FREE:
        printf(": no block of the program's lies there: it is free, or was never handed out\n");
        return;
    case MD_PATH_DOUBTED:
        printf(": nothing leads to it: just being allocated or freed\n");
        return;
    case MD_PATH_UNREACHED:
        printf("\n  nothing that memdebug looks at leads to it: a leak, unless its pointer is "
               "hidden\n");
        return;
    case MD_PATH_REACHED:
        break;
    }
    root_text(why, path, root);
    printf("\n  %s\n", root);
    for (uint32_t i = 0; i < answer->count; i++) {
        if (i == path->steps_before && answer->count < path->steps)
            printf("  -> ... %" PRIu32 " blocks left out\n", path->steps - answer->count);
        print_step(why, &answer->step[i], i + 1 == answer->count);
    }
}

static json_t *address_json(uint64_t address)
{
    char text[24];
    snprintf(text, sizeof text, "0x%" PRIx64, address);
    return json_string(text);
}

static json_t *site_json(struct why *why, uint64_t block)
{
    const char *by = allocated_by(why, block);
    return *by ? ndjson_string(by) : json_null();
}

static json_t *root_json(struct why *why, const struct md_answer_path *path)
{
    static const char *const kinds[] = {"none",   "register", "stack", "thread_local",
                                        "module", "mapping",  "other"};
    char text[TEXT_SIZE], name[NAME_SIZE], file[NAME_SIZE], frame[NAME_SIZE] = "";
    json_t *root = json_object();
    bool is_module = path->root == MD_ROOT_MODULE;
    root_text(why, path, text);
    json_object_set_new(
        root, "kind",
        json_string(path->root < sizeof kinds / sizeof *kinds ? kinds[path->root] : "other"));
    json_object_set_new(root, "text", ndjson_string(text));
    json_object_set_new(root, "address", path->word ? address_json(path->word) : json_null());
    json_object_set_new(root, "offset_bytes", json_integer(path->offset));
    json_object_set_new(root, "tid", path->tid ? json_integer(path->tid) : json_null());
    json_object_set_new(root, "thread", *path->thread ? ndjson_string(path->thread) : json_null());
    if (is_module)
        name_variable(why, path, name, file);
    else if (path->root == MD_ROOT_STACK)
        name_frame(why, path, frame);
    json_object_set_new(root, "frame", *frame ? ndjson_string(frame) : json_null());
    json_object_set_new(root, "variable", is_module && *name ? ndjson_string(name) : json_null());
    json_object_set_new(root, "path",
                        is_module     ? ndjson_string(file)
                        : *path->path ? ndjson_string(path->path)
                                      : json_null());
    return root;
}

static void print_json(struct why *why, const struct path *answer)
{
    const struct md_answer_path *path = &answer->about;
    json_t *object = json_object(), *array = json_array();
    json_object_set_new(object, "version", json_integer(NDJSON_VERSION));
    json_object_set_new(object, "type", json_string("path"));
    json_object_set_new(object, "pid", json_integer(why->source.target.pid));
    json_object_set_new(object, "name", ndjson_string(why->source.target.name));
    json_object_set_new(object, "address", address_json(path->address));
    json_object_set_new(object, "state", json_string(state_name(path)));
    json_object_set_new(object, "block", path->block ? address_json(path->block) : json_null());
    json_object_set_new(object, "size_bytes",
                        path->block ? json_integer((json_int_t)path->size) : json_null());
    json_object_set_new(object, "site", path->block ? site_json(why, path->block) : json_null());
    json_object_set_new(object, "root",
                        path->state == MD_PATH_REACHED ? root_json(why, path) : json_null());
    for (uint32_t i = 0; i < answer->count; i++) {
        json_t *step = json_object();
        json_object_set_new(step, "block", address_json(answer->step[i].block));
        json_object_set_new(step, "size_bytes", json_integer((json_int_t)answer->step[i].size));
        json_object_set_new(step, "offset_bytes",
                            i + 1 == answer->count
                                ? json_null()
                                : json_integer((json_int_t)answer->step[i].offset));
        json_object_set_new(step, "site", site_json(why, answer->step[i].block));
        json_array_append_new(array, step);
    }
    json_object_set_new(object, "path", array);
    json_object_set_new(object, "path_blocks", json_integer(path->steps));
    json_object_set_new(object, "pause_ns",
                        json_integer((json_int_t)why->source.snapshot.header.answer.stop_ns));
    ndjson_line(stdout, object);
}

/* ---- what is asked ---- */

/* Whether the text stands in the name of a call site, or in the wrapper that it called. */
static bool is_site(const struct stack_names *names, const char *text)
{
    return memmem(names->label, names->head, text, strlen(text)) ||
           (names->via && strstr(names->via, text));
}

/* Whether it stands in the name of any function on the stack. */
static bool is_on_stack(const struct stack_names *names, const char *text)
{
    for (size_t i = 0; i < names->frame_count; i++)
        if (strstr(names->frames[i].function, text))
            return true;
    return false;
}

typedef bool match_fn(const struct stack_names *names, const char *text);

/* Of the live samples whose stack matches the text, the greatest; of equals the oldest.  Returns
 * how many. */
static size_t find_blocks(struct why *why, match_fn *match, const char *text,
                          uint64_t blocks[ASKED_MAX])
{
    const struct snapshot *snapshot = &why->source.snapshot;
    const struct md_sample *best[ASKED_MAX];
    double bytes[ASKED_MAX];
    size_t count = 0;
    for (size_t i = 0; i < snapshot->sample_count; i++) {
        const struct md_sample *sample = &snapshot->samples[i];
        const struct md_bucket *bucket = &snapshot->buckets[sample->bucket];
        const struct stack_names *names =
            bucket->kind == MD_BUCKET_HEAP ? names_of(why, bucket->stack) : NULL;
        if (!names || !match(names, text))
            continue;
        double here = (double)sample->weight * (double)bucket->key;
        size_t at = count < ASKED_MAX ? count++ : ASKED_MAX;
        while (at > 0 && (here > bytes[at - 1] ||
                          (here >= bytes[at - 1] && sample->born_ds < best[at - 1]->born_ds))) {
            if (at < ASKED_MAX) {
                best[at] = best[at - 1];
                bytes[at] = bytes[at - 1];
            }
            at--;
        }
        if (at < ASKED_MAX) {
            best[at] = sample;
            bytes[at] = here;
        }
    }
    for (size_t i = 0; i < count; i++)
        blocks[i] = best[i]->addr;
    return count;
}

static struct path read_path(const struct md_answer_record *record)
{
    struct path path;
    memcpy(&path.about, record, sizeof path.about);
    plain_text(path.about.thread, sizeof path.about.thread, path.about.thread,
               sizeof path.about.thread);
    plain_text(path.about.path, sizeof path.about.path, path.about.path, sizeof path.about.path);
    size_t room = (record->words * sizeof(uint64_t) - sizeof path.about) / sizeof *path.step;
    path.step = (const void *)((const char *)record + sizeof path.about);
    path.count = path.about.steps_here < room ? path.about.steps_here : (uint32_t)room;
    return path;
}

/* Asks for these and prints the first `shown` that are still there; of one address whatever is
 * said.  Returns the exit status. */
static int ask(struct why *why, const uint64_t *blocks, size_t count, size_t shown)
{
    char question[sizeof((struct md_control *)NULL)->question] = "why", error[VIEW_ERROR_SIZE];
    bool pending;
    for (size_t i = 0; i < count; i++)
        snprintf(question + strlen(question), sizeof question - strlen(question), " %" PRIx64,
                 blocks[i]);
    if (ask_question(&why->source, question, cli_wait(why->options, WAIT_SECONDS), WHAT, &pending,
                     error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    if (pending) {
        cli_pending(why->options, &why->source.target, "why");
        return EXIT_DONE;
    }
    struct snapshot *snapshot = &why->source.snapshot;
    qsort(snapshot->samples, snapshot->sample_count, sizeof *snapshot->samples, compare_samples);
    const struct md_answer_record *record;
    size_t at = 0, printed = 0;
    while (printed < shown && (record = snapshot_record(snapshot, &at, MD_ANSWER_PATH,
                                                        sizeof(struct md_answer_path)))) {
        struct path path = read_path(record);
        if (count > 1 && (path.about.state == MD_PATH_NO_HEAP || path.about.state == MD_PATH_FREE))
            continue; /* freed since it was chosen */
        if (why->options->json)
            print_json(why, &path);
        else
            print_path(why, &path);
        printed++;
    }
    if (printed)
        return cli_flush() == EXIT_FAILED ? EXIT_FAILED : EXIT_DONE;
    cli_error("%d %s: these blocks have been freed meanwhile: ask again",
              (int)why->source.target.pid, why->source.target.name);
    return EXIT_FAILED;
}

static int why_of_target(struct why *why, const char *what)
{
    char error[VIEW_ERROR_SIZE], *end;
    uint64_t blocks[ASKED_MAX] = {0};
    bool is_address = strncmp(what, "0x", 2) == 0;
    long shown = why->options->count ? why->options->count : SHOWN;
    blocks[0] = strtoull(what, &end, 16);
    if (is_address && (*end || end == what + 2)) {
        cli_error("%.40s: no address", what);
        return EXIT_USAGE;
    }
    if (source_poll(&why->source, WHAT, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    size_t count = is_address ? 1 : find_blocks(why, is_site, what, blocks);
    if (!count)
        count = find_blocks(why, is_on_stack, what, blocks);
    if (count)
        return ask(why, blocks, count, (size_t)shown);
    cli_error("%d %s: no live sample has a function with \"%.60s\" in its name on its stack; "
              "memtop heap %d lists them",
              (int)why->source.target.pid, why->source.target.name, what,
              (int)why->source.target.pid);
    return EXIT_FAILED;
}

int command_why(const struct options *options)
{
    struct target target;
    struct why why = {.options = options};
    char error[VIEW_ERROR_SIZE];
    if (options->argument_count < 2) {
        cli_error("why: a TARGET and a SITE or ADDRESS are wanted");
        return EXIT_USAGE;
    }
    int status = cli_live_target(options->arguments[0], &target);
    if (status != EXIT_DONE)
        return status;
    if (ask_possible(&target, error) || source_open(&why.source, &target, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    cli_wrappers();
    cli_missing_names();
    struct symbolizer_options symbols = source_symbols(&why.source, why.root);
    why.names = names_create(&symbols, false);
    why.symbolizer = save_symbolizer(&why.source, false);
    status = EXIT_FAILED;
    if (why.names && why.symbolizer)
        status = why_of_target(&why, options->arguments[1]);
    else
        cli_error("out of memory");
    if (why.names)
        names_destroy(why.names);
    symbolizer_destroy(why.symbolizer);
    source_close(&why.source);
    return status;
}
