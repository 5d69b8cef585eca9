#include "systemd_analyze.h"

#include "program_output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- system calls ---- */

char *systemd_call_sets(void)
{
    static const char *const argv[] = {"systemd-analyze", "--no-pager", "syscall-filter", NULL};
    return program_output(argv);
}

static bool is_in(const char *sets, const char *word, size_t length, const char *call,
                  unsigned depth)
{
    if (word[0] != '@')
        return strlen(call) == length && strncmp(word, call, length) == 0;
    /* A set's name stands at the start of a line, its members on indented lines below. */
    const char *line = sets;
    while (line && (strncmp(line, word, length) != 0 || line[length] != '\n')) {
        line = strchr(line, '\n');
        line += line != NULL;
    }
    line = line && depth < 8 ? strchr(line, '\n') : NULL;
    while (line && line[1] == ' ') {
        const char *member = line + 1 + strspn(line + 1, " ");
        if (member[0] != '#' && is_in(sets, member, strcspn(member, " \n"), call, depth + 1))
            return true;
        line = strchr(member, '\n');
    }
    return false;
}

bool systemd_call_is_in(const char *sets, const char *word, const char *call)
{
    return is_in(sets, word, strlen(word), call, 0);
}

/* ---- verify ---- */

static bool copy_file(const char *from, const char *to)
{
    char buffer[4096];
    size_t n;
    FILE *in = fopen(from, "re"), *out = fopen(to, "wxe");
    while (in && out && (n = fread(buffer, 1, sizeof buffer, in)) > 0)
        if (fwrite(buffer, 1, n, out) != n)
            break;
    bool good = in && out && feof(in) && !ferror(out);
    if (in)
        fclose(in);
    if (out)
        good = fclose(out) == 0 && good;
    return good;
}

static bool write_file(const char *path, const char *text)
{
    FILE *out = fopen(path, "wxe");
    if (!out)
        return false;
    bool good = fputs(text, out) >= 0;
    return fclose(out) == 0 && good;
}

/* The first line about the drop-in, from its name on.  False: there is none. */
static bool first_complaint(const char *said, const char *base, char error[VIEW_ERROR_SIZE])
{
    const char *found = strstr(said, base);
    if (found)
        snprintf(error, VIEW_ERROR_SIZE, "%.*s", (int)strcspn(found, "\n"), found);
    return found != NULL;
}

int systemd_verify(const struct unit *unit, const char *base, const char *text,
                   char error[VIEW_ERROR_SIZE])
{
    char directory[] = "/tmp/memtop-unit-XXXXXX";
    char file[sizeof directory + UNIT_NAME_SIZE], below[sizeof file + 2],
        dropin[sizeof below + NAME_MAX + 2];
    if (!mkdtemp(directory)) {
        snprintf(error, VIEW_ERROR_SIZE, "/tmp: %s", strerror(errno));
        return ENOENT;
    }
    snprintf(file, sizeof file, "%s/%s", directory, unit->name);
    snprintf(below, sizeof below, "%s.d", file);
    snprintf(dropin, sizeof dropin, "%s/%s", below, base);
    const char *const argv[] = {"systemd-analyze", "--man=no", "verify", file, NULL};
    char *said = NULL;
    if (copy_file(unit->path, file) && mkdir(below, 0700) == 0 && write_file(dropin, text))
        said = program_output(argv);
    int result = !said ? ENOENT : first_complaint(said, base, error) ? EINVAL : 0;
    if (!said)
        snprintf(error, VIEW_ERROR_SIZE, "systemd-analyze is not to be had");
    free(said);
    unlink(dropin);
    rmdir(below);
    unlink(file);
    rmdir(directory);
    return result;
}
