#include "unit_paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The rule that names the deepest directory above `path`; of two of one depth the later. */
struct rule {
    const char *path;
    size_t depth; /* length of the directory's path */
    int verdict;
    const char *setting;
};

static void consider(struct rule *rule, const char *directory, int verdict, const char *setting)
{
    char real[PATH_MAX];
    if (realpath(directory, real))
        directory = real;
    size_t depth = strlen(directory);
    while (depth > 0 && directory[depth - 1] == '/')
        depth--;
    bool above = strncmp(rule->path, directory, depth) == 0 &&
                 (rule->path[depth] == '/' || rule->path[depth] == '\0');
    if (directory[0] != '/' || !above || depth < rule->depth)
        return;
    rule->depth = depth;
    rule->verdict = verdict;
    rule->setting = setting;
}

/* Considers each word of a list: PATH, PATH:OPTIONS or, of a bind mount, SOURCE:PATH:OPTIONS, all
 * perhaps with - (it may be missing) and + in front. */
static void consider_list(struct rule *rule, const struct unit *unit, const char *key, int verdict)
{
    char *list = unit_list(unit, key), word[PATH_MAX];
    bool bind = strncmp(key, "Bind", 4) == 0;
    for (const char *at = list; at && unit_word(&at, word, sizeof word);) {
        char *path = word + strspn(word, "-+"), *colon = strchr(path, ':');
        if (bind && colon && colon[1] == '/')
            path = colon + 1;
        path[strcspn(path, ":")] = '\0';
        consider(rule, path, verdict, key);
    }
    free(list);
}

/* Considers RuntimeDirectory=NAME… and the like, whose names are below `below`. */
static void consider_own(struct rule *rule, const struct unit *unit, const char *key,
                         const char *below, int verdict)
{
    char *list = unit_list(unit, key), word[PATH_MAX - 64], path[PATH_MAX];
    for (const char *at = list; at && unit_word(&at, word, sizeof word);) {
        word[strcspn(word, ":")] = '\0';
        snprintf(path, sizeof path, "%s/%s", below, word);
        consider(rule, path, verdict, key);
    }
    free(list);
}

static bool is_any(const char *value, const char *a, const char *b)
{
    return strcasecmp(value, a) == 0 || strcasecmp(value, b) == 0;
}

bool unit_is_dynamic(const struct unit *unit)
{
    return unit_is_on(unit, "DynamicUser");
}

bool unit_has_user(const struct unit *unit)
{
    const char *user = unit_value(unit, "User");
    return unit_is_dynamic(unit) || (user[0] != '\0' && !is_any(user, "root", "0"));
}

bool unit_has_private_tmp(const struct unit *unit)
{
    return unit_is_on(unit, "PrivateTmp") || unit_is_dynamic(unit) ||
           is_any(unit_value(unit, "PrivateTmp"), "disconnected", "connected");
}

enum path_view unit_path_view(const struct unit *unit, const char *path, const char **setting)
{
    struct rule rule = {.path = path, .verdict = PATH_SEEN, .setting = ""};
    const char *home = unit_value(unit, "ProtectHome");
    if (unit_value(unit, "RootDirectory")[0] != '\0')
        consider(&rule, "/", PATH_COVERED, "RootDirectory");
    if (unit_value(unit, "RootImage")[0] != '\0')
        consider(&rule, "/", PATH_COVERED, "RootImage");
    static const char *const homes[] = {"/home", "/root", "/run/user"};
    for (size_t i = 0; i < sizeof homes / sizeof homes[0]; i++)
        if (unit_is_on(unit, "ProtectHome") || is_any(home, "tmpfs", "tmpfs"))
            consider(&rule, homes[i], home[0] == 't' && home[1] == 'm' ? PATH_COVERED : PATH_CLOSED,
                     "ProtectHome");
    if (unit_has_private_tmp(unit)) {
        const char *by = unit_value(unit, "PrivateTmp")[0] ? "PrivateTmp" : "DynamicUser";
        consider(&rule, "/tmp", PATH_OTHER, by);
        consider(&rule, "/var/tmp", PATH_OTHER, by);
    }
    consider_list(&rule, unit, "TemporaryFileSystem", PATH_COVERED);
    consider_list(&rule, unit, "InaccessiblePaths", PATH_CLOSED);
    consider_list(&rule, unit, "BindPaths", PATH_SEEN);
    consider_list(&rule, unit, "BindReadOnlyPaths", PATH_SEEN);
    *setting = rule.setting;
    return (enum path_view)rule.verdict;
}

bool unit_path_writable(const struct unit *unit, const char *path, const char **setting)
{
    enum { READ_ONLY, WRITABLE };
    struct rule rule = {.path = path, .verdict = WRITABLE, .setting = ""};
    const char *system = unit_value(unit, "ProtectSystem");
    bool strict = strcasecmp(system, "strict") == 0, full = strcasecmp(system, "full") == 0;
    if (strict || (unit_is_dynamic(unit) && system[0] == '\0')) {
        static const char *const left_alone[] = {"/dev", "/proc", "/sys"};
        consider(&rule, "/", READ_ONLY, strict ? "ProtectSystem" : "DynamicUser");
        for (size_t i = 0; i < sizeof left_alone / sizeof left_alone[0]; i++)
            consider(&rule, left_alone[i], WRITABLE, "");
    }
    if (full || unit_is_on(unit, "ProtectSystem")) {
        static const char *const parts[] = {"/usr", "/boot", "/efi"};
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
            consider(&rule, parts[i], READ_ONLY, "ProtectSystem");
    }
    if (full)
        consider(&rule, "/etc", READ_ONLY, "ProtectSystem");
    if (unit_has_private_tmp(unit)) {
        consider(&rule, "/tmp", WRITABLE, "");
        consider(&rule, "/var/tmp", WRITABLE, "");
    }
    static const char *const own[][2] = {{"RuntimeDirectory", "/run"},
                                         {"StateDirectory", "/var/lib"},
                                         {"CacheDirectory", "/var/cache"},
                                         {"LogsDirectory", "/var/log"},
                                         {"ConfigurationDirectory", "/etc"}};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        consider_own(&rule, unit, own[i][0], own[i][1], WRITABLE);
    consider_list(&rule, unit, "TemporaryFileSystem", WRITABLE);
    consider_list(&rule, unit, "BindReadOnlyPaths", READ_ONLY);
    consider_list(&rule, unit, "BindPaths", WRITABLE);
    consider_list(&rule, unit, "ReadOnlyPaths", READ_ONLY);
    consider_list(&rule, unit, "ReadWritePaths", WRITABLE);
    *setting = rule.setting;
    return rule.verdict == WRITABLE;
}

bool unit_path_executable(const struct unit *unit, const char *path)
{
    struct rule rule = {.path = path, .verdict = true, .setting = ""};
    consider_list(&rule, unit, "NoExecPaths", false);
    consider_list(&rule, unit, "ExecPaths", true);
    return rule.verdict;
}
