#include "unit_dropin.h"

#include "launch.h"
#include "settings.h"
#include "unit_calls.h"
#include "unit_paths.h"
#include "target/elfkind.h"
#include "base/options.h"
#include "view/plain_text.h"

#include <errno.h>
#include <glob.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OBSTACLE "# ! "

struct dropin {
    const struct dropin_request *request;
    const struct unit *unit;
    FILE *out;       /* settings, each below a comment that says why */
    FILE *obstacles; /* comments that are put behind all settings */
    unsigned count;  /* of obstacles */
};

__attribute__((format(printf, 2, 3))) static void obstacle(struct dropin *dropin,
                                                           const char *format, ...)
{
    char line[2048]; /* plain_text makes it one line, whatever the unit's words hold */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    fprintf(dropin->obstacles, OBSTACLE "%s\n", plain_text(line, sizeof line, line, sizeof line));
    dropin->count++;
}

/* ---- text of a unit ---- */

/* Puts text as a word of a list has it.  `ours`: its % is no specifier, and is doubled. */
static void put_word(FILE *out, const char *text, bool ours)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 127)
            fprintf(out, "\\x%02x", (unsigned)*text);
        else
            fprintf(out, "%s%c",
                    strchr("\"\\", *text)  ? "\\"
                    : *text == '%' && ours ? "%"
                                           : "",
                    *text);
}

static void put_path(FILE *out, const char *key, const char *prefix, const char *path)
{
    bool quoted = path[strcspn(path, " \t\"'\\")] != '\0';
    fprintf(out, "%s=%s%s", key, quoted ? "\"" : "", prefix);
    put_word(out, path, true);
    fprintf(out, "%s\n", quoted ? "\"" : "");
}

/* A variable's value in the unit's own Environment=, specifiers unresolved; "": it has none. */
static void own_environment(const struct unit *unit, const char *name, char *value, size_t size)
{
    char *list = unit_list(unit, "Environment"), word[8192];
    size_t length = strlen(name);
    value[0] = '\0';
    for (const char *at = list; at && unit_word(&at, word, sizeof word);)
        if (strncmp(word, name, length) == 0 && word[length] == '=')
            snprintf(value, size, "%s", word + length + 1);
    free(list);
}

/* ---- settings ---- */

/* Sets LD_PRELOAD, our library before what else is preloaded and in place of another
 * libmemdebug.so, and MEMDEBUG. */
static void set_environment(struct dropin *dropin)
{
    char had[4096];
    own_environment(dropin->unit, "LD_PRELOAD", had, sizeof had);
    fprintf(dropin->out, "Environment=\"LD_PRELOAD=");
    put_word(dropin->out, dropin->request->library, true);
    for (char *next, *name = strtok_r(had, ": ", &next); name; name = strtok_r(NULL, ": ", &next))
        if (!strstr(name, "libmemdebug.so")) {
            fputc(':', dropin->out);
            put_word(dropin->out, name, false);
        }
    fprintf(dropin->out, "\"\n");
    if (dropin->request->memdebug[0] == '\0')
        return;
    fprintf(dropin->out, "Environment=\"MEMDEBUG=");
    put_word(dropin->out, dropin->request->memdebug, false);
    fprintf(dropin->out, "\"\n");
}

/* The folder of libraries that come with ours (tools/package.sh).  False: there is none. */
static bool has_along(const char *library, char folder[PATH_MAX])
{
    int length = (int)(strrchr(library, '/') - library);
    return snprintf(folder, PATH_MAX, "%.*s/memdebug", length, library) < PATH_MAX &&
           access(folder, F_OK) == 0;
}

static void put_library(struct dropin *dropin, const char *key)
{
    char folder[PATH_MAX];
    put_path(dropin->out, key, "", dropin->request->library);
    if (has_along(dropin->request->library, folder))
        put_path(dropin->out, key, "", folder);
}

/* The library must be seen, readable and executable. */
static void let_library(struct dropin *dropin)
{
    const char *library = dropin->request->library, *setting;
    char folder[PATH_MAX];
    enum path_view view = unit_path_view(dropin->unit, library, &setting);
    if (view == PATH_COVERED) {
        fprintf(dropin->out, "# %s= covers the library.\n", setting);
        put_library(dropin, "BindReadOnlyPaths");
        if (strncmp(setting, "Root", 4) == 0)
            obstacle(dropin, "%s=: glibc 2.36, libgcc_s.so.1%s must be in there", setting,
                     has_along(library, folder) ? "" : " and libunwind.so.8");
    } else if (view != PATH_SEEN) {
        obstacle(dropin, "%s= hides %s: not loaded; install it in another place", setting, library);
    }
    if (!unit_path_executable(dropin->unit, library)) {
        fprintf(dropin->out,
                "# NoExecPaths= is set: the loader maps code from here only if it is named.\n");
        put_library(dropin, "ExecPaths");
    }
    char path[PATH_MAX];
    struct stat st;
    snprintf(path, sizeof path, "%s", library);
    mode_t needs = S_IROTH;
    for (char *slash = path + strlen(path); unit_has_user(dropin->unit) && slash && slash > path;
         slash = strrchr(path, '/')) {
        *slash = '\0';
        if (stat(path[0] ? path : "/", &st) == 0 && !(st.st_mode & needs)) {
            obstacle(dropin, "%s has mode %04o: only its owner and group can load the library",
                     path, (unsigned)(st.st_mode & 07777));
            break;
        }
        needs = S_IXOTH;
    }
}

/* Whether the service's user may write to a directory; true where that is not known. */
static bool user_may_write(const struct unit *unit, const struct stat *st)
{
    if (!unit_has_user(unit))
        return true;
    if (st->st_mode & S_IWOTH)
        return true;
    const char *name = unit_value(unit, "User");
    struct passwd *user = unit_is_dynamic(unit) ? NULL : getpwnam(name);
    if (!user)
        return !unit_is_dynamic(unit);
    if (user->pw_uid == st->st_uid)
        return (st->st_mode & S_IWUSR) != 0;
    return (st->st_mode & S_IWGRP) != 0; /* it may be of that group */
}

/* Lets the service write to the file or directory that an option names. */
static void let_write(struct dropin *dropin, const char *key, const char *path, bool is_directory)
{
    char directory[PATH_MAX];
    const char *setting;
    struct stat st;
    if (path[0] == '\0')
        return;
    snprintf(directory, sizeof directory, "%s", path);
    static const char *const parts[] = {"{pid}", "{exe}", "%p", "%e"}; /* the library's */
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(directory, parts[i]))
            *strstr(directory, parts[i]) = '\0';
    char *slash = strrchr(directory, '/');
    if (directory[0] != '/') {
        obstacle(dropin, "%s=%s: below the service's WorkingDirectory=; a whole path is surer", key,
                 path);
        return;
    }
    if (!is_directory || strlen(directory) < strlen(path))
        slash[slash == directory] = '\0';
    enum path_view view = unit_path_view(dropin->unit, directory, &setting);
    if (view == PATH_OTHER) {
        obstacle(dropin, "%s=%s: %s= gives the service a %s of its own: look in /proc/PID/root%s",
                 key, path, setting, directory, directory);
        return;
    }
    if (view != PATH_SEEN) {
        obstacle(dropin, "%s=%s: hidden by %s=: name another place", key, path, setting);
        return;
    }
    if (!unit_path_writable(dropin->unit, directory, &setting)) {
        fprintf(dropin->out, "# %s=: for %s=.\n", setting, key);
        put_path(dropin->out, "ReadWritePaths", "-", directory);
    }
    if (stat(directory, &st) != 0)
        obstacle(dropin, "%s=%s: %s: %s; make it before the service starts", key, path, directory,
                 strerror(errno));
    else if (!user_may_write(dropin->unit, &st))
        obstacle(dropin, "%s=%s: %s has mode %04o: the service's user cannot write there", key,
                 path, directory, (unsigned)(st.st_mode & 07777));
}

static void let_segment(struct dropin *dropin)
{
    const char *setting;
    if (!option_number(OPTION_MONITOR))
        return;
    let_write(dropin, "dir", option_text(OPTION_DIR), true);
    if (!unit_path_writable(dropin->unit, "/run/memdebug", &setting)) {
        fprintf(dropin->out, "# %s=: the segment, which memtop reads, lies here, or in /dev/shm.\n",
                setting);
        put_path(dropin->out, "ReadWritePaths", "-", "/run/memdebug");
    }
    if (unit_is_dynamic(dropin->unit)) {
        obstacle(dropin,
                 "DynamicUser=: at each stop systemd removes what the user has in /dev/shm, "
                 "segments too; they stay in /run/memdebug, if that is mounted");
    } else if (unit_is_on(dropin->unit, "RemoveIPC")) {
        fprintf(dropin->out, "# RemoveIPC=: the segment of a dead process would go, too.\n"
                             "RemoveIPC=no\n");
    }
}

/* ---- what runs there ---- */

static void look_at_program(struct dropin *dropin, const char *command)
{
    char word[PATH_MAX], file[PATH_MAX], reason[160];
    const char *at = command;
    if (!unit_word(&at, word, sizeof word))
        return;
    char *path = word + strspn(word, "@-:+!|");
    struct elf_kind kind;
    if (strchr(path, '%') || (path[0] == '/' && access(path, R_OK) != 0)) {
        obstacle(dropin,
                 "ExecStart=%s: cannot be looked at from here, whether the library gets in is "
                 "not known",
                 path);
        return;
    }
    uid_t runner = unit_has_user(dropin->unit) ? (uid_t)-1 : 0;
    if (launch_file(path, file) && elf_kind_read(&kind, file, runner) == 0 &&
        elf_kind_obstacle(&kind, reason, sizeof reason))
        obstacle(dropin, "ExecStart=%s: %s", path, reason);
}

static void look_at_programs(struct dropin *dropin)
{
    bool others = false;
    for (size_t i = 0; i < dropin->unit->count; i++) {
        const struct unit_setting *setting = &dropin->unit->setting[i];
        if (strcmp(setting->key, "ExecStart") == 0)
            look_at_program(dropin, setting->value);
        else if (strncmp(setting->key, "Exec", 4) == 0 && !strstr(setting->key, "Path"))
            others = true;
    }
    if (others && option_number(OPTION_LEAKEXITCODE) && option_text(OPTION_ONLY)[0] == '\0')
        obstacle(dropin, "leakexitcode= holds for ExecStartPre= and the like, too: only=NAME");
}

/* ---- the environment, once more ---- */

static bool sets(const char *path, const char *name)
{
    char *line = NULL;
    size_t size = 0, length = strlen(name);
    bool found = false;
    FILE *file = fopen(path, "re");
    while (file && !found && getline(&line, &size, file) > 0) {
        const char *at = line + strspn(line, " \t");
        found = strncmp(at, name, length) == 0 && at[length] == '=';
    }
    if (file)
        fclose(file);
    free(line);
    return found;
}

static void look_at_environment(struct dropin *dropin)
{
    static const char *const names[] = {"LD_PRELOAD", "MEMDEBUG"};
    char *unset = unit_list(dropin->unit, "UnsetEnvironment"),
         *files = unit_list(dropin->unit, "EnvironmentFile"), word[PATH_MAX];
    for (const char *at = unset; at && unit_word(&at, word, sizeof word);)
        for (size_t i = 0; i < 2; i++)
            if (strcmp(word, names[i]) == 0)
                obstacle(dropin, "UnsetEnvironment= takes %s away again", names[i]);
    for (const char *at = files; at && unit_word(&at, word, sizeof word);) {
        glob_t found;
        if (glob(word + (word[0] == '-'), 0, NULL, &found) != 0)
            continue;
        for (size_t f = 0; f < found.gl_pathc; f++)
            for (size_t i = 0; i < 2; i++)
                if (sets(found.gl_pathv[f], names[i]))
                    obstacle(dropin,
                             "EnvironmentFile=%s sets %s, which comes after this: set it there",
                             found.gl_pathv[f], names[i]);
        globfree(&found);
    }
    free(unset);
    free(files);
}

/* ---- cycles, system calls, limits ---- */

static bool wants_cycles(void)
{
    return option_gc() != GC_OFF;
}

static void look_at_calls(struct dropin *dropin)
{
    struct unit_calls calls;
    if (unit_value(dropin->unit, "SystemCallFilter")[0] == '\0')
        return;
    if (!dropin->request->call_sets) {
        obstacle(dropin,
                 "SystemCallFilter=: systemd-analyze, which knows its sets, is not to be had: "
                 "whether it allows what memdebug calls is not known");
        return;
    }
    unit_calls(&calls, dropin->unit, dropin->request->call_sets);
    if (calls.refused[0] != '\0')
        obstacle(dropin, "SystemCallFilter= refuses %s: %s; to allow: SystemCallFilter=%s",
                 calls.refused,
                 calls.only_cycles ? "no cycle will be done"
                 : calls.kills     ? "the service would be KILLED for it"
                                   : "not all will work",
                 calls.refused);
}

static void look_at_limits(struct dropin *dropin)
{
    const struct unit *unit = dropin->unit;
    const char *as = unit_value(unit, "LimitAS");
    static const char *const profiles[] = {"AppArmorProfile", "SELinuxContext",
                                           "SmackProcessLabel"};
    for (size_t i = 0; i < 3; i++)
        if (unit_value(unit, profiles[i])[0] != '\0')
            obstacle(dropin,
                     "%s=: it must allow to map %s, and to write to /dev/shm or /run/memdebug",
                     profiles[i], dropin->request->library);
    const char *systems = unit_value(unit, "RestrictFileSystems");
    if (systems[0] != '\0' && (systems[0] == '~') == (strstr(systems, "tmpfs") != NULL))
        obstacle(dropin, "RestrictFileSystems= has no tmpfs: no segment, memtop does not see it");
    if (!wants_cycles())
        return;
    if (as[0] != '\0' && strcmp(as, "infinity") != 0)
        obstacle(dropin, "LimitAS=%s: no cycles, which reserve 8 TiB of addresses", as);
    if (strcmp(unit_value(unit, "OOMPolicy"), "kill") == 0)
        obstacle(dropin,
                 "OOMPolicy=kill: under MemoryMax= a cycle by copy needs twice the memory free, "
                 "else another engine does it");
    if (unit_value(unit, "RootDirectory")[0] != '\0' && !unit_is_on(unit, "MountAPIVFS"))
        obstacle(dropin, "RootDirectory= without MountAPIVFS=yes: no /proc, so no cycles");
    if (strcmp(unit_value(unit, "StandardError"), "null") == 0 &&
        option_number(OPTION_GCTRACE) != GCTRACE_OFF && option_text(OPTION_GCTRACEFILE)[0] == '\0')
        obstacle(dropin,
                 "StandardError=null: gctrace's lines go nowhere; memtop tail has the last 256");
}

char *dropin_text(const struct dropin_request *request, unsigned *obstacles)
{
    char *text = NULL, *behind = NULL;
    size_t size = 0, behind_size = 0;
    struct dropin dropin = {.request = request,
                            .unit = request->unit,
                            .out = open_memstream(&text, &size),
                            .obstacles = open_memstream(&behind, &behind_size)};
    if (dropin.out && dropin.obstacles) {
        fprintf(dropin.out,
                "# memdebug in %s, made by: %s\n"
                "# Remove this file, systemctl daemon-reload and restart to be rid of it.\n"
                "[Service]\n",
                request->unit->name, request->command);
        set_environment(&dropin);
        let_library(&dropin);
        let_segment(&dropin);
        let_write(&dropin, "heapprofile", option_text(OPTION_HEAPPROFILE), false);
        let_write(&dropin, "gctracefile", option_text(OPTION_GCTRACEFILE), false);
        let_write(&dropin, "leakfile", option_text(OPTION_LEAKFILE), false);
        look_at_programs(&dropin);
        look_at_environment(&dropin);
        look_at_calls(&dropin);
        look_at_limits(&dropin);
    }
    bool good = dropin.obstacles && fclose(dropin.obstacles) == 0 && dropin.out;
    if (good)
        fputs(behind, dropin.out);
    good = dropin.out && fclose(dropin.out) == 0 && good;
    free(behind);
    *obstacles = dropin.count;
    if (good)
        return text;
    free(text);
    return NULL;
}

void dropin_obstacles(const char *text, void (*line)(const char *text))
{
    char one[2048];
    for (const char *found = text; (found = strstr(found, "\n" OBSTACLE));) {
        found += 1 + strlen(OBSTACLE);
        snprintf(one, sizeof one, "%.*s", (int)strcspn(found, "\n"), found);
        line(one);
    }
}

char *dropin_memdebug(const struct unit *unit, char *const settings[], size_t count)
{
    char had[4096], *ours = settings_text(settings, count), *text = NULL;
    size_t size = 0;
    FILE *out = ours ? open_memstream(&text, &size) : NULL;
    if (out) {
        own_environment(unit, "MEMDEBUG", had, sizeof had);
        fprintf(out, "%s%s", had, had[0] != '\0' && count > 0 ? "," : "");
        for (const char *c = ours; *c; c++)
            fputs(*c == '%' ? "%%" : (char[]){*c, '\0'}, out);
    }
    free(ours);
    if (out && fclose(out) == 0)
        return text;
    return NULL;
}
