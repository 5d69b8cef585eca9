/* memtop serve: profiles, metrics and JSON of the processes on memdebug, over HTTP. */
#include "cli.h"
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef HAVE_MICROHTTPD
#include "serve/server.h"
#include "ui/report.h"

enum { JSON_SITES = 20 };

static char *summary(const struct target *target)
{
    json_t *object = report_target_json(target);
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(object);
    return text;
}

struct json_watch {
    struct watch watch;
    bool told; /* its first line, which the opening has read */
};

static void *open_watch(const struct target *target, char error[VIEW_ERROR_SIZE])
{
    struct json_watch *watch = calloc(1, sizeof *watch);
    if (watch && watch_open(&watch->watch, target, false, error)) {
        free(watch);
        watch = NULL;
    }
    return watch;
}

static char *next_line(void *closure, bool *last, char error[VIEW_ERROR_SIZE])
{
    struct json_watch *watch = closure;
    if (watch->told && watch_tick(&watch->watch, false, error))
        return NULL;
    watch->told = true;
    *last = watch->watch.source.state != SOURCE_LIVE;
    return report_json_text(&watch->watch, JSON_SITES);
}

static void close_watch(void *closure)
{
    struct json_watch *watch = closure;
    watch_close(&watch->watch);
    free(watch);
}

static bool read_access(const struct options *options, struct access *access)
{
    char error[VIEW_ERROR_SIZE];
    access->hosts = options->allow_hosts;
    access->host_count = options->allow_host_count;
    access->actions = options->allow_actions;
    if (gethostname(access->own_name, sizeof access->own_name - 1) != 0)
        access->own_name[0] = '\0';
    if (options->token_file && access_read_token(access, options->token_file, error)) {
        cli_error("%s", error);
        return false;
    }
    return true;
}

int command_serve(const struct options *options)
{
    struct server_options server = {.listen =
                                        options->listen ? options->listen : SERVER_LISTEN_DEFAULT,
                                    .tls_certificate = options->tls_cert,
                                    .tls_key = options->tls_key,
                                    .makers = {summary, open_watch, next_line, close_watch}};
    char error[VIEW_ERROR_SIZE];
    bool given_up;
    if (!options->tls_cert != !options->tls_key) {
        cli_error("serve: --tls-cert and --tls-key are given together");
        return EXIT_USAGE;
    }
    if (options->allow_actions && !options->token_file) {
        cli_error("serve: --allow-actions needs --token-file: whoever can connect could act");
        return EXIT_USAGE;
    }
    cli_wrappers();
    cli_missing_names();
    if (!read_access(options, &server.access))
        return EXIT_FAILED;
    int result = server_run(&server, &given_up, error);
    if (result)
        cli_error("serve: %s", error);
    if (given_up) { /* threads still read DWARF: exit's destructors must not run beside them */
        cli_flush();
        _exit(result ? EXIT_FAILED : EXIT_DONE);
    }
    return result ? EXIT_FAILED : EXIT_DONE;
}
#else
int command_serve(const struct options *options)
{
    cli_error("serve: this memtop was built without libmicrohttpd "
              "(Debian: apt-get install libmicrohttpd-dev, and build it again)");
    return EXIT_FAILED;
}
#endif
