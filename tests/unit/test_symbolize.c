/* Names of a real program, against what its source says and what addr2line says. */
#include "support/sanitizers.h"
#include "support/tap.h"

#include "view/pprof.h"
#include "view/simple_name.h"
#include "view/symbolize.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#if WITH_ASAN
/* LeakSanitizer of gcc 12 takes a wild pointer for the thread-local block of a library opened at
 * run time, and dies of it. */
const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
    return "use_tls=0";
}
#endif

static char directory[] = "/tmp/test_symbolize.XXXXXX";

static bool run(const char *format, ...)
{
    char command[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    return system(command) == 0;
}

/* The line of the mark in the victim's source. */
static uint32_t line_of(const char *mark)
{
    char line[256];
    uint32_t number = 0, found = 0;
    FILE *f = fopen(VICTIM_SOURCE, "r");
    while (f && fgets(line, sizeof line, f)) {
        number++;
        if (strstr(line, mark))
            found = number;
    }
    if (f)
        fclose(f);
    return found;
}

struct victim {
    char path[128];
    pid_t pid;
    int input;
    uint64_t bias, pc[4];
    struct md_module module;
};

/* The build ID by reading the file's notes here, not with the code under test. */
static void read_build_id(const char *path, struct md_module *m)
{
    int fd = open(path, O_RDONLY);
    struct stat st;
    fstat(fd, &st);
    const uint8_t *b = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    const Elf64_Ehdr *e = (const void *)b;
    const Elf64_Phdr *ph = (const void *)(b + e->e_phoff);
    for (unsigned i = 0; i < e->e_phnum; i++) {
        if (ph[i].p_type != PT_NOTE)
            continue;
        for (size_t at = ph[i].p_offset; at < ph[i].p_offset + ph[i].p_filesz;) {
            const Elf64_Nhdr *n = (const void *)(b + at);
            const uint8_t *desc = b + at + sizeof *n + (n->n_namesz + 3) / 4 * 4;
            if (n->n_type == NT_GNU_BUILD_ID && n->n_descsz <= sizeof m->build_id &&
                !m->build_id_size) {
                m->build_id_size = n->n_descsz;
                memcpy(m->build_id, desc, n->n_descsz);
            }
            at = (size_t)(desc - b) + (n->n_descsz + 3) / 4 * 4;
        }
    }
    munmap((void *)(uintptr_t)b, (size_t)st.st_size);
}

static void fill_module(struct md_module *m, const char *path, uint64_t bias, uint64_t pc)
{
    *m = (struct md_module){.start = pc & ~UINT64_C(0xfff), .limit = pc + 4096, .bias = bias};
    m->path_size = (uint32_t)strlen(path);
    memcpy(m->path, path, m->path_size + 1);
    read_build_id(path, m);
}

static bool start(struct victim *v, const char *name, const char *compiler)
{
    *v = (struct victim){.input = -1};
    snprintf(v->path, sizeof v->path, "%s/%s", directory, name);
    if (!run("%s -std=c++17 -o %s %s -ldl", compiler, v->path, VICTIM_SOURCE))
        return false;
    int in[2], out[2];
    if (pipe(in) != 0 || pipe(out) != 0)
        return false;
    v->pid = fork();
    if (v->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        execl(v->path, v->path, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    v->input = in[1];
    char text[256] = "";
    for (size_t n = 0; n < sizeof text - 1 && !strchr(text, '\n');) {
        ssize_t got = read(out[0], text + n, sizeof text - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    close(out[0]);
    if (sscanf(text, "%" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64, &v->bias,
               &v->pc[0], &v->pc[1], &v->pc[2], &v->pc[3]) != 5)
        return false;
    fill_module(&v->module, v->path, v->bias, v->pc[0]);
    return true;
}

static void stop(struct victim *v)
{
    if (v->input >= 0)
        close(v->input);
    if (v->pid > 0)
        waitpid(v->pid, NULL, 0);
    v->pid = 0;
    v->input = -1;
}

static struct symbolizer *create(pid_t pid, const char *root)
{
    struct symbolizer_options options = {.root = root, .pid = pid, .load_cxx = true};
    return symbolizer_create(&options);
}

static size_t find(struct symbolizer *s, const struct victim *v, unsigned which,
                   const struct symbol_frame **frames)
{
    return symbolizer_find(s, &v->module, v->pc[which] - 1, frames);
}

/* gcc gives an inlined static function no linkage name, so it is "inner", not "inner(int)". */
static void is_frame(const struct symbol_frame *f, const char *function, const char *mark,
                     const char *what)
{
    bool file = !mark || strstr(f->file, "symbols_victim.cc");
    size_t bare = strcspn(function, "(");
    bool name = strncmp(f->function, function, bare) == 0 &&
                (!f->function[bare] || strcmp(f->function, function) == 0);
    if (!ok(name && file && (!mark || f->line == line_of(mark)), "%s: %s", what, function))
        tap_print("# got %s (%s) at %s:%u", f->function, f->system_name, f->file, f->line);
}

/* Every frame, against binutils' own reading of the same file.  binutils names an inlined static
 * function by the symbol around it, and calls the file of LTO's code <artificial>: those are not
 * compared. */
static void compare_addr2line(struct victim *v, struct symbolizer *s, const char *what)
{
    char command[512], line[1024];
    if (!run("addr2line --version > /dev/null 2>&1")) {
        tap_skip(what, "no addr2line");
        return;
    }
    for (unsigned which = 0; which < 4; which++) {
        if (!v->pc[which])
            continue;
        const struct symbol_frame *frames;
        size_t count = find(s, v, which, &frames), i = 0;
        unsigned wrong = 0;
        snprintf(command, sizeof command, "addr2line -i -f -C -e %s %" PRIx64, v->path,
                 v->pc[which] - 1 - v->bias);
        FILE *pipe = popen(command, "r");
        for (; fgets(line, sizeof line, pipe); i++) {
            line[strcspn(line, "\n")] = 0;
            bool name = i < count && ((i == 0 && count > 1) ||
                                      strncmp(line, frames[i].function, strcspn(line, "(<.")) == 0);
            if (!fgets(line, sizeof line, pipe))
                break;
            const char *colon = strrchr(line, ':');
            bool place = i < count && colon && (uint32_t)atoi(colon + 1) == frames[i].line &&
                         (strstr(line, "<artificial>") ||
                          strncmp(line, frames[i].file, (size_t)(colon - line)) == 0);
            wrong += !name || !place;
        }
        pclose(pipe);
        if (!ok(i == count && wrong == 0, "%s: address %u has addr2line's %zu frames", what, which,
                i))
            for (size_t k = 0; k < count; k++)
                tap_print("# %s at %s:%u", frames[k].function, frames[k].file, frames[k].line);
    }
}

static void check_dwarf(struct victim *v, struct symbolizer *s, const char *what)
{
    const struct symbol_frame *f;
    if (!ok(find(s, v, 1, &f) == 3, "%s: two inlined calls", what))
        return;
    is_frame(&f[0], "inner(int)", "@inner", what);
    is_frame(&f[1], "middle(int)", "@middle", what);
    is_frame(&f[2], "outer", "@outer", what);
    ok(f[2].start_line && f[2].start_line < f[2].line, "%s: start line", what);
    if (ok(find(s, v, 0, &f) == 1, "%s: a template's member", what)) {
        is_frame(&f[0], "shop::Cart::add", "@add", what);
        ok(strcmp(f[0].system_name, "_ZN4shop4CartIlE3addEl") == 0, "%s: mangled too", what);
    }
    if (ok(find(s, v, 2, &f) == 1, "%s: a call that does not return", what))
        is_frame(&f[0], "leaves", "@leaves", what);
    if (ok(find(s, v, 3, &f) == 1, "%s: a static function", what))
        is_frame(&f[0], "hidden_function(int)", "@hidden", what);
}

static void test_debug(const char *name, const char *compiler)
{
    struct victim v;
    if (!start(&v, name, compiler)) {
        tap_skip(name, "cannot build it");
        stop(&v);
        return;
    }
    struct symbolizer *s = create(0, NULL);
    check_dwarf(&v, s, name);
    compare_addr2line(&v, s, name);
    symbolizer_destroy(s);
    stop(&v);
}

static void test_full_names(void)
{
    struct victim v;
    const struct symbol_frame *f;
    if (!start(&v, "full", "c++ -O2 -g")) {
        tap_skip("full names", "cannot build it");
        return;
    }
    struct symbolizer_options options = {.load_cxx = true, .full_names = true};
    struct symbolizer *s = symbolizer_create(&options);
    ok(find(s, &v, 0, &f) == 1 && strcmp(f->function, "shop::Cart<long>::add(long)") == 0,
       "full names where asked for");
    symbolizer_destroy(s);
    stop(&v);
}

static void test_no_debug(void)
{
    struct victim v;
    const struct symbol_frame *f;
    if (!start(&v, "nodebug", "c++ -O2")) {
        tap_skip("without debug information", "cannot build it");
        return;
    }
    struct symbolizer *s = create(0, NULL);
    ok(find(s, &v, 1, &f) == 1 && strcmp(f->function, "outer") == 0 && !*f->file && !f->line,
       "without debug information: the symbol");
    ok(find(s, &v, 0, &f) == 1 && strcmp(f->function, "shop::Cart::add") == 0, "demangled");
    symbolizer_destroy(s);

    run("strip -o %s.s %s && mv %s.s %s", v.path, v.path, v.path, v.path);
    s = create(0, NULL);
    find(s, &v, 3, &f);
    ok(find(s, &v, 3, &f) == 0 || strcmp(f->function, "hidden_function(int)") != 0,
       "stripped: no name for a static function");
    symbolizer_destroy(s);

    run("cp /bin/true %s.new && mv %s.new %s", v.path, v.path, v.path);
    s = create(0, NULL);
    is(find(s, &v, 1, &f), 0, "replaced by another program: no name rather than a wrong one");
    symbolizer_destroy(s);
    stop(&v);
}

/* Code without debug information between code that has some: jemalloc's in our library. */
static void test_mixed(void)
{
    const char *build = getenv("MEMDEBUG_BUILD");
    char path[PATH_MAX], command[PATH_MAX + 64], line[512], name[256];
    struct md_module module;
    const struct symbol_frame *f;
    uint64_t address;
    unsigned count = 0, wrong = 0;
    snprintf(path, sizeof path, "%s/libmemdebug.so", build ? build : ".");
    snprintf(command, sizeof command, "nm %s 2>/dev/null | grep ' [tT] jep_'", path);
    FILE *pipe = popen(command, "r");
    struct symbolizer *s = create(0, NULL);
    while (fgets(line, sizeof line, pipe)) {
        if (sscanf(line, "%" SCNx64 " %*c %255s", &address, name) != 2)
            continue;
        fill_module(&module, path, 0, address);
        if (symbolizer_find(s, &module, address + 1, &f) == 0)
            continue;
        count++;
        if (!*f->file && !f->line)
            continue;
        if (!wrong++)
            tap_print("# %s is said to be %s at %s:%u", name, f->function, f->file, f->line);
    }
    pclose(pipe);
    symbolizer_destroy(s);
    if (count)
        is(wrong, 0, "code without debug information has no line of the code before it");
    else
        tap_skip("code without debug information", "none is found in our library");
}

static void test_separate(void)
{
    struct victim v;
    if (!start(&v, "separate", "c++ -O2 -g")) {
        tap_skip("separate debug file", "cannot build it");
        return;
    }
    run("cd %s && objcopy --only-keep-debug separate separate.debug && strip -o s separate && "
        "objcopy --add-gnu-debuglink=separate.debug s && mv s separate",
        directory);
    struct symbolizer *s = create(0, NULL);
    check_dwarf(&v, s, "debug link beside it");
    symbolizer_destroy(s);
    run("cd %s && mkdir -p .debug && mv separate.debug .debug/", directory);
    s = create(0, NULL);
    check_dwarf(&v, s, "debug link in .debug");
    symbolizer_destroy(s);

    char hex[65] = "", root[128];
    for (uint32_t i = 0; i < v.module.build_id_size; i++)
        snprintf(hex + 2 * i, 3, "%02x", v.module.build_id[i]);
    snprintf(root, sizeof root, "%s/root", directory);
    run("mkdir -p %s/usr/lib/debug/.build-id/%.2s %s%s && mv %s/.debug/separate.debug "
        "%s/usr/lib/debug/.build-id/%.2s/%s.debug && cp %s %s%s/",
        root, hex, root, directory, directory, root, hex, hex + 2, v.path, root, directory);
    s = create(0, root);
    check_dwarf(&v, s, "build ID below another root");
    symbolizer_destroy(s);
    run("rm %s%s", root, v.path);
    s = create(0, root);
    check_dwarf(&v, s, "its debug file alone");
    symbolizer_destroy(s);
    /* A debug file of another build must not be believed. */
    run("cd %s && c++ -O1 -g -DOTHER -o other %s -ldl && objcopy --only-keep-debug other "
        "separate.debug",
        directory, VICTIM_SOURCE);
    s = create(0, NULL);
    const struct symbol_frame *f;
    size_t count = find(s, &v, 1, &f);
    ok(count < 2, "a debug file of another build is passed over");
    symbolizer_destroy(s);
    stop(&v);
}

static void test_crc(void)
{
    struct victim v;
    if (!start(&v, "crc", "c++ -O2 -g -Wl,--build-id=none")) {
        tap_skip("debug link without build ID", "cannot build it");
        return;
    }
    is(v.module.build_id_size, 0, "a program without build ID");
    run("cd %s && objcopy --only-keep-debug crc crc.debug && strip -o s crc && objcopy "
        "--add-gnu-debuglink=crc.debug s && mv s crc",
        directory);
    struct symbolizer *s = create(0, NULL);
    check_dwarf(&v, s, "by checksum");
    symbolizer_destroy(s);
    run("printf x >> %s/crc.debug", directory);
    s = create(0, NULL);
    const struct symbol_frame *f;
    ok(find(s, &v, 1, &f) < 2, "a wrong checksum is passed over");
    symbolizer_destroy(s);
    stop(&v);
}

static void test_deleted(void)
{
    struct victim v;
    const struct symbol_frame *f;
    if (!start(&v, "deleted", "c++ -O2 -g")) {
        tap_skip("deleted binary", "cannot build it");
        return;
    }
    unlink(v.path);
    struct symbolizer *s = create(0, NULL);
    is(find(s, &v, 1, &f), 0, "deleted and no process: no name");
    symbolizer_destroy(s);
    s = create(v.pid, NULL);
    check_dwarf(&v, s, "deleted, by /proc/PID/exe");
    symbolizer_destroy(s);
    v.module.path_size =
        (uint32_t)snprintf(v.module.path, sizeof v.module.path, "%s (deleted)", v.path);
    s = create(v.pid, NULL);
    check_dwarf(&v, s, "deleted, as the kernel names it");
    symbolizer_destroy(s);
    stop(&v);
}

/* A library that was deleted: only map_files has it, and needs privileges. */
static void test_deleted_library(void)
{
    char path[128], proc[128];
    const struct symbol_frame *f;
    snprintf(path, sizeof path, "%s/libgone.so", directory);
    if (!run("echo 'int gone_function(int i) { return i * 5; }' | cc -shared -fPIC -O2 -g -x c - "
             "-o %s",
             path)) {
        tap_skip("deleted library", "cannot build it");
        return;
    }
    void *library = dlopen(path, RTLD_NOW);
    uint64_t pc = (uint64_t)(uintptr_t)dlsym(library, "gone_function") + 1;
    struct link_map *map;
    dlinfo(library, RTLD_DI_LINKMAP, &map);
    struct md_module m;
    fill_module(&m, path, map->l_addr, pc);
    unlink(path);
    snprintf(proc, sizeof proc, "/proc/self/map_files");
    struct symbolizer *s = create(getpid(), NULL);
    size_t count = symbolizer_find(s, &m, pc, &f);
    if (count == 0 && geteuid() != 0)
        tap_skip("deleted library", "map_files needs privileges");
    else
        ok(count == 1 && strcmp(f->function, "gone_function") == 0,
           "a deleted library, by /proc/PID/map_files");
    symbolizer_destroy(s);
    dlclose(library);
}

static void test_odd_modules(void)
{
    const struct symbol_frame *f;
    struct symbolizer *s = create(getpid(), NULL);
    struct md_module m = {.start = 4096, .limit = 8192};
    is(symbolizer_find(s, &m, 5000, &f), 0, "a module without a path");
    strcpy(m.path, "[vdso]");
    m.path_size = 6;
    is(symbolizer_find(s, &m, 5000, &f), 0, "[vdso]");
    strcpy(m.path, "/etc/passwd");
    m.path_size = 11;
    is(symbolizer_find(s, &m, 5000, &f), 0, "a file that is no ELF");
    strcpy(m.path, "/dev/zero");
    m.path_size = 9;
    is(symbolizer_find(s, &m, 5000, &f), 0, "a device");
    m.path_size = 4000000000u;
    is(symbolizer_find(s, &m, 5000, &f), 0, "a path size that is not possible");
    ok(symbolizer_find(s, NULL, 5000, &f) == 1 && symbol_frame_nameless(f) &&
           strcmp(f->function, "[unknown]") == 0,
       "no module");

    /* This very libc: the symbol table, or libc6-dbg if it is there.  A function that no sanitizer
     * puts its own in place of. */
    Dl_info info;
    void *function = dlsym(RTLD_DEFAULT, "lfind");
    if (dladdr(function, &info)) {
        uint64_t pc = (uint64_t)(uintptr_t)function;
        fill_module(&m, info.dli_fname, (uint64_t)(uintptr_t)info.dli_fbase, pc);
        size_t count = symbolizer_find(s, &m, pc + 4, &f);
        ok(count >= 1 && strstr(f[count - 1].function, "lfind"), "libc's lfind: %s at %s:%u",
           count ? f[count - 1].function : "none", count ? f[count - 1].file : "",
           count ? f[count - 1].line : 0);
        const struct symbol_frame *again;
        ok(symbolizer_find(s, &m, pc + 4, &again) == count && again == f, "remembered");
    }
    symbolizer_destroy(s);
    symbolizer_destroy(NULL);
}

/* From a stack to a profile that names inlined frames, read back. */
static void test_profile(void)
{
    struct victim v;
    if (!start(&v, "profiled", "c++ -O2 -g")) {
        tap_skip("a symbolized profile", "cannot build it");
        return;
    }
    uint64_t words[8] = {0, 0, 2 | UINT64_C(1) << 32, 0, v.pc[1], v.pc[3]};
    struct md_bucket bucket = {
        .stack = 2, .kind = MD_BUCKET_HEAP, .key = 64, .value = {1024, 64, 0, 0}};
    struct snapshot snap = {.modules = &v.module,
                            .module_count = 1,
                            .stack_words = words,
                            .stack_word_count = 6,
                            .buckets = &bucket,
                            .bucket_count = 1};
    v.module.start = 0;
    v.module.limit = UINT64_MAX;
    struct symbolizer *s = create(0, NULL);
    struct profile_options options = {.kind = MD_BUCKET_HEAP, .symbolizer = s};
    struct profile p;
    is(profile_from_snapshot(&p, &snap, &options, NULL), 0, "a profile");
    symbolizer_destroy(s);
    is(p.location_count, 2, "two locations");
    const struct profile_location *l = &p.locations[p.location_ids[0]];
    ok(l->line_count == 3 &&
           strncmp(p.functions[p.lines[l->line_first].function].name, "inner", 5) == 0 &&
           strcmp(p.functions[p.lines[l->line_first + 2].function].name, "outer") == 0,
       "inlined callee first");
    ok(p.mappings[0].has_functions && p.mappings[0].has_filenames &&
           p.mappings[0].has_line_numbers && p.mappings[0].has_inline_frames,
       "the mapping says what it has");
    char path[128], command[256], text[8192] = "";
    snprintf(path, sizeof path, "%s/p.pb.gz", directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    is(pprof_write(&p, fd, NULL), 0, "written");
    close(fd);
    profile_fini(&p);
    unlink(v.path); /* it needs no binary */
    snprintf(command, sizeof command, "go tool pprof -top -nodefraction=0 %s 2>/dev/null", path);
    FILE *pipe = popen(command, "r");
    size_t n = fread(text, 1, sizeof text - 1, pipe);
    if (pclose(pipe) != 0 || !n)
        tap_skip("pprof's view", "no go tool pprof");
    else if (!ok(strstr(text, "  inner (inline)") && strstr(text, "  middle (inline)") &&
                     strstr(text, "  outer\n"),
                 "pprof shows the names without the binary"))
        tap_print("# %.900s", text);
    stop(&v);
}

static void test_simple_names(void)
{
    static const char *const table[][2] = {
        {"main", "main"},
        {"inner(int)", "inner"},
        {"std::vector<int, std::allocator<int> >::push_back(int&&)", "std::vector::push_back"},
        {"shop::Cart<long>::add(long) const", "shop::Cart::add"},
        {"std::ostream& std::operator<< <std::char_traits<char> >(std::ostream&, char const*)",
         "std::operator<<"},
        {"bool operator< <int>(A<int> const&, A<int> const&)", "operator<"},
        {"A::operator->() const", "A::operator->"},
        {"A::operator()(int) const", "A::operator()"},
        {"operator new(unsigned long)", "operator new"},
        {"void* A::operator new[](unsigned long)", "A::operator new[]"},
        {"A::operator unsigned long() const", "A::operator unsigned long"},
        {"(anonymous namespace)::f(int)", "(anonymous namespace)::f"},
        {"unsigned long (anonymous namespace)::g<int>(int)", "(anonymous namespace)::g"},
        {"f(int)::{lambda(char, int)#1}::operator()(char, int) const", "f::{lambda#1}::operator()"},
        {"A::f() const::{lambda()#2}::operator()() const", "A::f::{lambda#2}::operator()"},
        {"non-virtual thunk to B::~B()", "B::~B"},
        {"B::name[abi:cxx11](int) &&", "B::name"},
        {"void f<((1)>(2))>(int)", "f"},
        {"std::enable_if<(4>(3)), int>::type h<int>(int)", "h"},
        {"decltype (f()->x) k<A>(A)", "k"},
        {"<T as Trait>::method", "<T as Trait>::method"},
        {"void (*pick(int))(char)", "void (*pick(int))(char)"},
        {"unbalanced<int", "unbalanced<int"},
        {"operatorx(int)", "operatorx"},
        {"hidden_function(int) [clone .constprop.0]", "hidden_function"},
        {"constant(int)", "constant"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char name[256];
        snprintf(name, sizeof name, "%s", table[i][0]);
        simple_name(name);
        if (!ok(strcmp(name, table[i][1]) == 0, "%s", table[i][0]))
            tap_print("# got %s", name);
    }
}

/* libdw opens debuginfod's client only to ask a server. */
static void test_no_network(void)
{
    char line[1024];
    unsigned clients = 0, libdw = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps)) {
        clients += strstr(line, "debuginfod") || strstr(line, "libcurl");
        libdw += strstr(line, "libdw") != NULL;
    }
    if (maps)
        fclose(maps);
    ok(libdw > 0 && clients == 0, "libdw is there, debuginfod's client is not");
}

int main(void)
{
    test_simple_names();
    setenv("DEBUGINFOD_URLS", "http://127.0.0.1:9/", 1);
    if (symbolizer_missing()) {
        tap_skip("symbols", symbolizer_missing());
        return tap_done();
    }
    if (!mkdtemp(directory))
        return 1;
    signal(SIGPIPE, SIG_IGN);
    test_debug("debug", "c++ -O2 -g");
    test_debug("dwarf4", "c++ -O2 -gdwarf-4");
    test_debug("fixed", "c++ -O2 -g -no-pie -fno-pie");
    test_debug("lto", "c++ -O2 -g -flto");
    if (run("clang++ --version > /dev/null 2>&1"))
        test_debug("clang", "clang++ -O2 -g");
    test_full_names();
    test_no_debug();
    test_mixed();
    test_separate();
    test_crc();
    test_deleted();
    test_deleted_library();
    test_odd_modules();
    test_profile();
    test_no_network();
    run("rm -rf %s", directory);
    return tap_done();
}
