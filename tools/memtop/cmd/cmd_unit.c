/* memtop unit NAME [KEY=VALUE…]: makes the drop-in that puts memdebug into a systemd service. */
#include "cli.h"
#include "commands.h"
#include "preload/launch.h"
#include "preload/settings.h"
#include "preload/systemd_analyze.h"
#include "preload/unit_dropin.h"
#include "base/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define INSTALL_DIRECTORY "/etc/systemd/system"

/* Sets the options in force (base/options.h) from MEMDEBUG as a unit writes it. */
static void parse_memdebug(const char *text)
{
    char *plain = strdup(text), *to = plain;
    for (const char *from = text; plain && *from; from++) {
        from += from[0] == '%' && from[1] == '%';
        *to++ = *from;
    }
    if (plain)
        *to = '\0';
    options_parse(plain);
    free(plain);
}

/* The command line, for the drop-in's comment. */
static char *command_text(const struct options *options)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    fputs("memtop unit", out);
    for (size_t i = 0; i < options->argument_count; i++)
        fprintf(out, " %s", options->arguments[i]);
    fclose(out);
    return text;
}

static char *make(const struct unit *unit, const struct options *options)
{
    char library[PATH_MAX], error[VIEW_ERROR_SIZE];
    unsigned obstacles;
    if (!launch_library(library, error)) {
        cli_error("%s", error);
        return NULL;
    }
    char *memdebug = dropin_memdebug(unit, options->arguments + 1, options->argument_count - 1),
         *command = command_text(options), *sets = systemd_call_sets(), *text = NULL;
    if (memdebug && command) {
        parse_memdebug(memdebug);
        struct dropin_request request = {unit, library, memdebug, sets, command};
        text = dropin_text(&request, &obstacles);
    }
    if (!text)
        cli_error("%s", strerror(ENOMEM));
    free(memdebug);
    free(command);
    free(sets);
    return text;
}

/* ---- --install ---- */

/* Writes a file whole or not at all.  0 or an errno value. */
static int write_whole(const char *path, const char *text)
{
    char temporary[PATH_MAX];
    snprintf(temporary, sizeof temporary, "%.*s.tmp", PATH_MAX - 8, path);
    FILE *out = fopen(temporary, "we");
    if (!out)
        return errno;
    fputs(text, out);
    bool good = fflush(out) == 0 && fchmod(fileno(out), 0644) == 0;
    if (fclose(out) != 0 || !good || rename(temporary, path) != 0) {
        int error = errno;
        unlink(temporary);
        return error;
    }
    return 0;
}

/* Has systemd read its units anew, as `systemctl edit` does, if it runs. */
static bool reload(void)
{
    if (access("/run/systemd/system", F_OK) != 0)
        return true;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        execlp("systemctl", "systemctl", "daemon-reload", (char *)NULL);
        _exit(127);
    }
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status == 0;
}

static void say_obstacle(const char *text)
{
    cli_error("%s", text);
}

static int install(const struct unit *unit, const char *text)
{
    char directory[PATH_MAX / 2], path[PATH_MAX];
    snprintf(directory, sizeof directory, INSTALL_DIRECTORY "/%s.d", unit->name);
    snprintf(path, sizeof path, "%s/" DROPIN_BASE, directory);
    mkdir(INSTALL_DIRECTORY, 0755);
    int error = mkdir(directory, 0755) != 0 && errno != EEXIST ? errno : write_whole(path, text);
    if (error) {
        cli_error("%s: %s", path, strerror(error));
        return EXIT_FAILED;
    }
    dropin_obstacles(text, say_obstacle);
    printf("%s\n", path);
    if (!reload()) {
        cli_error("systemctl daemon-reload failed: the file is there, systemd has not read it");
        return EXIT_FAILED;
    }
    printf("systemctl restart %s\n", unit->name);
    return EXIT_DONE;
}

int command_unit(const struct options *options)
{
    char error[VIEW_ERROR_SIZE];
    struct unit unit;
    char complaint[SETTINGS_COMPLAINT_SIZE];
    if (!settings_check(options->arguments + 1, options->argument_count - 1, complaint)) {
        cli_error("%s", complaint);
        return EXIT_USAGE;
    }
    if (unit_read(&unit, options->arguments[0], DROPIN_BASE, error) != 0) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    int status = EXIT_FAILED;
    char *text = make(&unit, options);
    int refused = text ? systemd_verify(&unit, DROPIN_BASE, text, error) : 0;
    if (refused == EINVAL)
        cli_error("%s: systemd does not take it: %s", unit.name, error);
    else if (refused)
        cli_error("not checked: %s", error);
    if (text && refused != EINVAL) {
        status = EXIT_DONE;
        if (options->install)
            status = install(&unit, text);
        else
            fputs(text, stdout);
    }
    free(text);
    unit_fini(&unit);
    return status;
}
