#include "unit_file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".service"

/* systemd's search path (systemd.unit(5)); the first directory that has a unit wins. */
static const char usual_path[] =
    "/etc/systemd/system.control:/run/systemd/system.control:/run/systemd/transient:"
    "/run/systemd/generator.early:/etc/systemd/system:/etc/systemd/system.attached:"
    "/run/systemd/system:/run/systemd/system.attached:/run/systemd/generator:"
    "/usr/local/lib/systemd/system:/usr/lib/systemd/system:/lib/systemd/system:"
    "/run/systemd/generator.late";

/* The next directory of the search path; false at its end.  `rest` begins as NULL. */
static bool next_directory(const char **rest, char *directory, size_t size)
{
    const char *said = getenv("SYSTEMD_UNIT_PATH");
    if (!*rest)
        *rest = said && said[0] != '\0' ? said : usual_path;
    for (;;) {
        size_t length = strcspn(*rest, ":");
        bool last = (*rest)[length] == '\0';
        snprintf(directory, size, "%.*s", (int)length, *rest);
        /* If SYSTEMD_UNIT_PATH ends in a colon, the usual directories follow. */
        bool more = !last && (*rest)[length + 1] == '\0';
        *rest = more ? usual_path : *rest + length + !last;
        if (length > 0)
            return true;
        if (last)
            return false;
    }
}

/* ---- reading ---- */

static bool add_setting(struct unit *unit, const char *key, const char *value)
{
    /* Names from before systemd 231. */
    static const char *const renamed[][2] = {{"ReadWriteDirectories", "ReadWritePaths"},
                                             {"ReadOnlyDirectories", "ReadOnlyPaths"},
                                             {"InaccessibleDirectories", "InaccessiblePaths"}};
    for (size_t i = 0; i < sizeof renamed / sizeof renamed[0]; i++)
        if (strcmp(key, renamed[i][0]) == 0)
            key = renamed[i][1];
    if (unit->count == unit->capacity) {
        size_t capacity = unit->capacity ? 2 * unit->capacity : 32;
        void *grown = realloc(unit->setting, capacity * sizeof unit->setting[0]);
        if (!grown)
            return false;
        unit->setting = grown;
        unit->capacity = capacity;
    }
    struct unit_setting *setting = &unit->setting[unit->count];
    *setting = (struct unit_setting){strdup(key), strdup(value)};
    if (!setting->key || !setting->value) {
        free(setting->key);
        free(setting->value);
        return false;
    }
    unit->count++;
    return true;
}

static char *trim(char *text)
{
    text += strspn(text, " \t\r");
    size_t n = strlen(text);
    while (n > 0 && strchr(" \t\r", text[n - 1]))
        text[--n] = '\0';
    return text;
}

/* A whole line.  *service: it stands below [Service].  False: no memory. */
static bool take_line(struct unit *unit, char *line, bool *service)
{
    line = trim(line);
    char *equals = strchr(line, '=');
    if (line[0] == '[')
        *service = strcmp(line, "[Service]") == 0;
    else if (*service && equals) {
        *equals = '\0';
        return add_setting(unit, trim(line), trim(equals + 1));
    }
    return true;
}

int unit_read_text(struct unit *unit, char *text)
{
    bool service = false, good = true;
    char *line = NULL, *end = NULL; /* a line whose pieces so far end in a backslash */
    for (char *piece = text, *next; good && piece; piece = next) {
        next = strchr(piece, '\n');
        if (next)
            *next++ = '\0';
        char first = piece[strspn(piece, " \t")];
        if (first == '#' || first == ';') /* also between such pieces */
            continue;
        size_t length = strlen(piece);
        if (!line)
            line = end = piece;
        memmove(end, piece, length + 1);
        end += length;
        if (length > 0 && end[-1] == '\\') {
            end[-1] = ' ';
            continue;
        }
        good = take_line(unit, line, &service);
        line = NULL;
    }
    if (line)
        good = good && take_line(unit, line, &service);
    return good ? 0 : ENOMEM;
}

static int read_file(struct unit *unit, const char *path)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return errno;
    ssize_t n = getdelim(&text, &size, '\0', file);
    int error = ferror(file) ? errno : n > 0 ? unit_read_text(unit, text) : 0;
    fclose(file);
    free(text);
    return error;
}

/* ---- names ---- */

static bool is_name(const char *name)
{
    size_t length = strlen(name);
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr(":-_.\\@", *c))
            return false;
    return length > sizeof SUFFIX - 1 && length < UNIT_NAME_SIZE && name[0] != '@' &&
           name[0] != '.' && strcmp(name + length - (sizeof SUFFIX - 1), SUFFIX) == 0;
}

/* The template's name, a@.service of a@b.service.  False: this is no instance. */
static bool template_of(const char *name, char *template)
{
    const char *at = strchr(name, '@');
    if (!at || at[1] == '.')
        return false;
    snprintf(template, UNIT_NAME_SIZE, "%.*s@" SUFFIX, (int)(at - name), name);
    return true;
}

/* Takes the name of the file that the unit's path leads to by links, if that is a unit's name. */
static void follow_alias(struct unit *unit)
{
    char real[UNIT_NAME_SIZE], template[UNIT_NAME_SIZE];
    const char *base = strrchr(unit->path, '/') + 1;
    if (!is_name(base))
        return;
    snprintf(real, sizeof real, "%s", base);
    const char *instance = template_of(unit->name, template) ? strchr(unit->name, '@') + 1 : NULL;
    char *at = strchr(real, '@');
    if (instance && at && at[1] == '.') /* a link between templates: the instance is kept */
        snprintf(at + 1, sizeof real - (size_t)(at + 1 - real), "%.200s", instance);
    snprintf(unit->name, sizeof unit->name, "%s", real);
}

static int find_file(struct unit *unit, char error[VIEW_ERROR_SIZE])
{
    char template[UNIT_NAME_SIZE] = "", directory[PATH_MAX], path[PATH_MAX];
    const char *const names[] = {unit->name, template};
    size_t count = template_of(unit->name, template) ? 2 : 1;
    for (size_t i = 0; i < count; i++)
        for (const char *rest = NULL; next_directory(&rest, directory, sizeof directory);) {
            struct stat st;
            if (snprintf(path, sizeof path, "%s/%s", directory, names[i]) >= (int)sizeof path ||
                !realpath(path, unit->path) || stat(unit->path, &st) != 0 || S_ISDIR(st.st_mode))
                continue;
            if (!S_ISREG(st.st_mode) || st.st_size == 0) {
                snprintf(error, VIEW_ERROR_SIZE, "%.150s is masked", unit->name);
                return EPERM;
            }
            follow_alias(unit);
            return 0;
        }
    snprintf(error, VIEW_ERROR_SIZE,
             "%.120s: no such service (systemctl list-unit-files --type=service names them)",
             unit->name);
    return ENOENT;
}

/* ---- drop-ins ---- */

struct dropin {
    char base[NAME_MAX + 1];
    char path[PATH_MAX];
};

struct dropins {
    struct dropin *dropin;
    size_t count, capacity;
};

static int by_base(const void *a, const void *b)
{
    return strcmp(((const struct dropin *)a)->base, ((const struct dropin *)b)->base);
}

/* Adds the *.conf of a directory, but for names that are there already, as the first wins.  False:
 * no memory. */
static bool add_dropins(struct dropins *dropins, const char *directory)
{
    DIR *dir = opendir(directory);
    bool good = true;
    for (struct dirent *entry; dir && good && (entry = readdir(dir));) {
        const char *dot = strrchr(entry->d_name, '.');
        bool known = !dot || strcmp(dot, ".conf") != 0 || entry->d_name[0] == '.';
        for (size_t i = 0; i < dropins->count && !known; i++)
            known = strcmp(dropins->dropin[i].base, entry->d_name) == 0;
        if (known)
            continue;
        if (dropins->count == dropins->capacity) {
            size_t capacity = dropins->capacity ? 2 * dropins->capacity : 8;
            void *grown = realloc(dropins->dropin, capacity * sizeof dropins->dropin[0]);
            if (!(good = grown != NULL))
                break;
            dropins->dropin = grown;
            dropins->capacity = capacity;
        }
        struct dropin *dropin = &dropins->dropin[dropins->count];
        snprintf(dropin->base, sizeof dropin->base, "%s", entry->d_name);
        if (snprintf(dropin->path, PATH_MAX, "%s/%s", directory, entry->d_name) < PATH_MAX)
            dropins->count++;
    }
    if (dir)
        closedir(dir);
    return good;
}

static bool add_dropins_of(struct dropins *dropins, const char *name)
{
    char directory[PATH_MAX], path[PATH_MAX];
    bool good = true;
    for (const char *rest = NULL; good && next_directory(&rest, directory, sizeof directory);)
        if (snprintf(path, sizeof path, "%s/%s.d", directory, name) < (int)sizeof path)
            good = add_dropins(dropins, path);
    return good;
}

/* Finds the drop-ins of the unit, of the alias by which it was asked for, of its template, of each
 * prefix that ends in a dash, and of all services.  False: no memory. */
static bool find_dropins(struct dropins *dropins, const struct unit *unit, const char *alias)
{
    char name[UNIT_NAME_SIZE];
    bool good = add_dropins_of(dropins, unit->name) && add_dropins_of(dropins, alias);
    if (template_of(unit->name, name))
        good = good && add_dropins_of(dropins, name);
    for (size_t n = strcspn(unit->name, "@."); good && n > 0; n--)
        if (unit->name[n - 1] == '-' && unit->name[n] != '.' && unit->name[n] != '@') {
            snprintf(name, sizeof name, "%.*s" SUFFIX, (int)n, unit->name);
            good = add_dropins_of(dropins, name);
        }
    return good && add_dropins_of(dropins, "service");
}

static int read_dropins(struct unit *unit, const char *alias, const char *left_out)
{
    struct dropins dropins = {0};
    int error = find_dropins(&dropins, unit, alias) ? 0 : ENOMEM;
    if (dropins.count > 0)
        qsort(dropins.dropin, dropins.count, sizeof dropins.dropin[0], by_base);
    for (size_t i = 0; i < dropins.count && !error; i++)
        if (strcmp(dropins.dropin[i].base, left_out) != 0)
            error = read_file(unit, dropins.dropin[i].path);
    free(dropins.dropin);
    return error;
}

int unit_read(struct unit *unit, const char *name, const char *left_out,
              char error[VIEW_ERROR_SIZE])
{
    char asked[UNIT_NAME_SIZE];
    *unit = (struct unit){0};
    size_t length = strlen(name);
    bool whole = length > 8 && strcmp(name + length - 8, SUFFIX) == 0;
    if (snprintf(asked, sizeof asked, "%s%s", name, whole ? "" : SUFFIX) >= (int)sizeof asked ||
        !is_name(asked)) {
        snprintf(error, VIEW_ERROR_SIZE, "%.120s: the name of a service is wanted", name);
        return EINVAL;
    }
    snprintf(unit->name, sizeof unit->name, "%s", asked);
    int result = find_file(unit, error);
    if (result)
        return result;
    result = read_file(unit, unit->path);
    if (!result)
        result = read_dropins(unit, asked, left_out);
    if (result)
        snprintf(error, VIEW_ERROR_SIZE, "%.150s: %s", unit->path, strerror(result));
    if (result)
        unit_fini(unit);
    return result;
}

void unit_fini(struct unit *unit)
{
    for (size_t i = 0; i < unit->count; i++) {
        free(unit->setting[i].key);
        free(unit->setting[i].value);
    }
    free(unit->setting);
    *unit = (struct unit){0};
}

/* ---- values ---- */

const char *unit_value(const struct unit *unit, const char *key)
{
    for (size_t i = unit->count; i-- > 0;)
        if (strcmp(unit->setting[i].key, key) == 0)
            return unit->setting[i].value;
    return "";
}

bool unit_is_on(const struct unit *unit, const char *key)
{
    static const char *const words[] = {"1", "yes", "y", "true", "t", "on"};
    const char *value = unit_value(unit, key);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(value, words[i]) == 0)
            return true;
    return false;
}

char *unit_list(const struct unit *unit, const char *key)
{
    char *text = NULL;
    size_t size = 0, from = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    for (size_t i = 0; i < unit->count; i++)
        if (strcmp(unit->setting[i].key, key) == 0 && unit->setting[i].value[0] == '\0')
            from = i + 1;
    for (size_t i = from; i < unit->count; i++)
        if (strcmp(unit->setting[i].key, key) == 0)
            fprintf(out, "%s ", unit->setting[i].value);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

/* The character that an escape means, from behind its backslash; moves *at to its last one. */
static char unescape(const char **at)
{
    static const char from[] = "abfnrtvs", to[] = "\a\b\f\n\r\t\v ";
    const char *c = *at, *found = strchr(from, *c);
    char digits[4] = {c[0]};
    if (found)
        return to[found - from];
    if (c[0] == 'x' && isxdigit((unsigned char)c[1]) && isxdigit((unsigned char)c[2])) {
        memcpy(digits, c + 1, 2);
        *at += 2;
        return (char)strtoul(digits, NULL, 16);
    }
    if (strspn(c, "01234567") < 3)
        return *c;
    memcpy(digits, c, 3);
    *at += 2;
    return (char)strtoul(digits, NULL, 8);
}

bool unit_word(const char **at, char *word, size_t size)
{
    const char *p = *at + strspn(*at, " \t");
    size_t n = 0;
    char quote = '\0';
    if (*p == '\0')
        return false;
    for (; *p != '\0' && (quote || !strchr(" \t", *p)); p++) {
        char c = *p;
        if (c == quote || (!quote && strchr("\"'", c))) {
            quote = c == quote ? '\0' : c;
            continue;
        }
        if (c == '\\' && p[1] != '\0') {
            p++;
            c = unescape(&p);
        }
        if (n + 1 < size)
            word[n++] = c;
    }
    word[n] = '\0';
    *at = p;
    return true;
}
