#include "view/symbolize.h"

#include "view/containers.h"
#include "view/dwarf_frames.h"
#include "view/jit_code.h"
#include "view/libdw.h"
#include "view/plain_text.h"
#include "view/rust_name.h"
#include "view/simple_name.h"
#include "view/snapshot.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Files open at the same time: a program may have thousands of modules and few descriptors. */
#define OPEN_MAX_OBJECTS 24

/* In place of an object's number, for addresses in no module. */
#define NO_OBJECT (PAIR_MAP_NONE - 1)
#define JIT_NAME_MAX 500

/* A module's file: all mappings of one path and build ID, wherever they lie. */
struct object {
    struct md_module module;
    struct dwarf_object *dwarf; /* NULL: closed, or missing */
    bool missing;
    uint64_t last_use;
};

/* The frames of an address. */
struct entry {
    uint32_t first, count; /* in symbolizer.frames */
};

typedef char *demangle_function(const char *mangled, char *buffer, size_t *length, int *status);

struct symbolizer {
    char root[PATH_MAX];
    struct object_process process;
    struct jit_code *jit;
    demangle_function *demangle;
    bool full_names;
    struct pair_map object_index; /* (path, build ID) as pooled strings -> objects */
    struct object **objects;
    size_t object_count, object_room, open_count;
    struct pair_map entry_index; /* (address in the file, object) -> entries */
    struct entry *entries;
    size_t entry_count, entry_room;
    struct symbol_frame *frames;
    size_t frame_count, frame_room;
    struct string_pool strings;
    uint64_t clock;
};

static demangle_function *find_demangle(bool load_cxx)
{
    void *function = dlsym(RTLD_DEFAULT, "__cxa_demangle");
    if (!function) {
        /* It may be loaded but not visible, as a plug-in's dependency. */
        void *library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
        if (!library && load_cxx)
            library = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL);
        function = library ? dlsym(library, "__cxa_demangle") : NULL;
    }
    demangle_function *result;
    *(void **)&result = function;
    return result;
}

const char *symbolizer_missing(void)
{
    return libdw_get() ? NULL
                       : "names of functions are missing: libdw.so.1 "
                         "is not here (Debian: apt-get install libdw1)";
}

struct symbolizer *symbolizer_create(const struct symbolizer_options *options)
{
    struct symbolizer *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    snprintf(s->root, sizeof s->root, "%s", options->root ? options->root : "");
    s->full_names = options->full_names;
    s->process = (struct object_process){s->root, options->pid, options->own_pid, options->uid};
    s->jit = jit_code_create(&s->process);
    if (!s->jit) {
        free(s);
        return NULL;
    }
    if (libdw_get())
        s->demangle = find_demangle(options->load_cxx);
    return s;
}

void symbolizer_destroy(struct symbolizer *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->object_count; i++) {
        dwarf_object_close(s->objects[i]->dwarf);
        free(s->objects[i]);
    }
    jit_code_destroy(s->jit);
    free(s->objects);
    free(s->entries);
    free(s->frames);
    pair_map_fini(&s->object_index);
    pair_map_fini(&s->entry_index);
    string_pool_fini(&s->strings);
    free(s);
}

/* PAIR_MAP_NONE: no memory. */
static uint32_t find_object(struct symbolizer *s, const struct md_module *module)
{
    char text[BUILD_ID_TEXT_SIZE];
    if (module->build_id_size > sizeof module->build_id || module->path_size >= sizeof module->path)
        return PAIR_MAP_NONE;
    snapshot_build_id(module, text);
    const char *path = string_pool_add_bytes(&s->strings, module->path, module->path_size);
    const char *id = string_pool_add(&s->strings, text);
    uint32_t *slot = path && id ? pair_map_put(&s->object_index, (uint64_t)(uintptr_t)path,
                                               (uint64_t)(uintptr_t)id)
                                : NULL;
    if (!slot)
        return PAIR_MAP_NONE;
    if (*slot == PAIR_MAP_NONE) {
        struct object *o = calloc(1, sizeof *o);
        if (!o || !array_reserve(&s->objects, &s->object_room, s->object_count + 1,
                                 sizeof(struct object *))) {
            free(o);
            return PAIR_MAP_NONE;
        }
        o->module = *module;
        s->objects[s->object_count] = o;
        *slot = (uint32_t)s->object_count++;
    }
    return *slot;
}

static void close_oldest(struct symbolizer *s)
{
    struct object *oldest = NULL;
    for (size_t i = 0; i < s->object_count; i++)
        if (s->objects[i]->dwarf && (!oldest || s->objects[i]->last_use < oldest->last_use))
            oldest = s->objects[i];
    if (oldest) {
        dwarf_object_close(oldest->dwarf);
        oldest->dwarf = NULL;
        s->open_count--;
    }
}

static struct dwarf_object *get_dwarf(struct symbolizer *s, struct object *o)
{
    o->last_use = ++s->clock;
    if (o->dwarf || o->missing)
        return o->dwarf;
    if (s->open_count >= OPEN_MAX_OBJECTS)
        close_oldest(s);
    o->dwarf = dwarf_object_open(&s->process, &o->module);
    o->missing = !o->dwarf;
    s->open_count += o->dwarf != NULL;
    return o->dwarf;
}

/* The length of a name without the compiler's suffix: what it split off or specialized ("f.isra.0",
 * "f(int) [clone .constprop.0]") is still the function in the source. */
static size_t without_clone(const char *function)
{
    static const char *const marks[] = {" [clone ",    ".isra.", ".part.",
                                        ".constprop.", ".cold",  ".lto_priv."};
    size_t length = strlen(function);
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        const char *at = strstr(function, marks[i]);
        if (at && at > function && (size_t)(at - function) < length)
            length = (size_t)(at - function);
    }
    return length;
}

static bool keep_frame(struct symbolizer *s, const struct symbol_frame *frame)
{
    if (!frame->function || !frame->system_name || !frame->file ||
        !array_reserve(&s->frames, &s->frame_room, s->frame_count + 1, sizeof *s->frames))
        return false;
    s->frames[s->frame_count++] = *frame;
    return true;
}

/* NULL: it is not mangled, or nobody can read it.  The caller frees it. */
static char *demangle(const struct symbolizer *s, const char *system)
{
    char *demangled = rust_name(system);
    int status = 0;
    if (!demangled && s->demangle && system[0] == '_' && system[1] == 'Z')
        demangled = s->demangle(system, NULL, NULL, &status);
    if (demangled && !s->full_names)
        simple_name(demangled);
    return demangled;
}

static bool add_frame(struct symbolizer *s, const struct dwarf_frame *from)
{
    const char *system = from->linkage_name ? from->linkage_name : from->name ? from->name : "";
    const char *function = from->name && !from->linkage_name ? from->name : system;
    char *demangled = demangle(s, system);
    if (demangled)
        function = demangled;
    else if (from->name)
        function = from->name; /* the source's name is nearer to readable */
    struct symbol_frame frame = {
        .function = string_pool_add_bytes(&s->strings, function, without_clone(function)),
        .system_name = string_pool_add(&s->strings, system),
        .file = string_pool_add(&s->strings, from->file ? from->file : ""),
        .line = from->line,
        .start_line = from->start_line,
    };
    free(demangled);
    return keep_frame(s, &frame);
}

static void resolve(struct symbolizer *s, struct object *o, uint64_t address, struct entry *entry)
{
    struct dwarf_frame found[DWARF_FRAMES_MAX];
    struct dwarf_object *dwarf = get_dwarf(s, o);
    size_t count = dwarf ? dwarf_object_find(dwarf, address, found) : 0;
    *entry = (struct entry){(uint32_t)s->frame_count, 0};
    for (size_t i = 0; i < count; i++) {
        if (!add_frame(s, &found[i]))
            return;
        entry->count++;
    }
}

static void resolve_outside(struct symbolizer *s, uint64_t address, struct entry *entry)
{
    char name[JIT_NAME_MAX + 1];
    size_t length;
    const char *found = jit_code_find(s->jit, address, &length);
    plain_text(name, sizeof name, found, length);
    const char *kept = string_pool_add(&s->strings, name);
    struct symbol_frame frame = {kept, kept, string_pool_add(&s->strings, ""), 0, 0};
    *entry = (struct entry){(uint32_t)s->frame_count, 0};
    entry->count = keep_frame(s, &frame);
}

bool symbol_frame_nameless(const struct symbol_frame *frame)
{
    return strcmp(frame->function, JIT_CODE) == 0 || strcmp(frame->function, JIT_UNKNOWN) == 0;
}

bool symbolizer_has_jit_map(const struct symbolizer *s)
{
    return jit_code_has_map(s->jit);
}

size_t symbolizer_find(struct symbolizer *s, const struct md_module *module, uint64_t address,
                       const struct symbol_frame **frames)
{
    *frames = NULL;
    uint32_t number = !module ? NO_OBJECT : libdw_get() ? find_object(s, module) : PAIR_MAP_NONE;
    if (number == PAIR_MAP_NONE)
        return 0;
    if (module)
        address -= module->bias;
    uint32_t *slot = pair_map_put(&s->entry_index, address, number);
    if (!slot)
        return 0;
    if (*slot == PAIR_MAP_NONE) {
        if (!array_reserve(&s->entries, &s->entry_room, s->entry_count + 1, sizeof *s->entries))
            return 0;
        struct entry *entry = &s->entries[s->entry_count];
        if (module)
            resolve(s, s->objects[number], address, entry);
        else
            resolve_outside(s, address, entry);
        *slot = (uint32_t)s->entry_count++;
    }
    const struct entry *entry = &s->entries[*slot];
    if (entry->count)
        *frames = &s->frames[entry->first];
    return entry->count;
}

const char *symbolizer_variable(struct symbolizer *s, const struct md_module *module,
                                uint64_t address, uint64_t *offset)
{
    uint32_t number = libdw_get() ? find_object(s, module) : PAIR_MAP_NONE;
    struct dwarf_object *dwarf = number == PAIR_MAP_NONE ? NULL : get_dwarf(s, s->objects[number]);
    const char *system =
        dwarf ? dwarf_object_variable(dwarf, address - module->bias, offset) : NULL;
    if (!system)
        return NULL;
    char *demangled = demangle(s, system);
    const char *name = string_pool_add(&s->strings, demangled ? demangled : system);
    free(demangled);
    return name;
}
