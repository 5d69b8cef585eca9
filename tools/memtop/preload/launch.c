#include "launch.h"

#include "target/elfkind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIBRARY "libmemdebug.so.0"

/* The library in this folder, by the name that every version has there. */
static bool library_in(const char *folder, char path[PATH_MAX])
{
    char real[PATH_MAX];
    if (!realpath(folder, real) || strlen(real) + sizeof "/" LIBRARY > PATH_MAX)
        return false;
    stpcpy(stpcpy(path, real), "/" LIBRARY);
    return access(path, R_OK) == 0;
}

/* In this order: the library that MEMDEBUG_LIBRARY names; that of the same build; that which was
 * installed with this memtop, at its place relative to memtop, as both may have been moved, then at
 * its absolute one. */
static bool find_library(char path[PATH_MAX], char *error)
{
    const char *said = getenv("MEMDEBUG_LIBRARY");
    if (said && said[0] != '\0') {
        /* A whole path stays as it is: it may be a link that was made for its name. */
        if (said[0] == '/'
                ? strlen(said) < PATH_MAX && strcpy(path, said) && access(path, R_OK) == 0
                : realpath(said, path) && access(path, R_OK) == 0)
            return true;
        snprintf(error, VIEW_ERROR_SIZE, "MEMDEBUG_LIBRARY=%.150s: %s", said, strerror(errno));
        return false;
    }
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        static const char installed[] = "/" MEMTOP_LIBDIR_FROM_BINDIR;
        static const char *const beside[] = {"", "/../..", /* of tests in our build */ installed};
        self[n] = '\0';
        *strrchr(self, '/') = '\0';
        for (size_t i = 0; i < sizeof beside / sizeof beside[0]; i++) {
            char folder[PATH_MAX + 256];
            snprintf(folder, sizeof folder, "%s%s", self, beside[i]);
            if (library_in(folder, path))
                return true;
        }
    }
    if (library_in(MEMTOP_LIBDIR, path))
        return true;
    snprintf(error, VIEW_ERROR_SIZE,
             LIBRARY " is neither beside memtop nor in " MEMTOP_LIBDIR
                     ": set MEMDEBUG_LIBRARY=/path/to/" LIBRARY);
    return false;
}

bool launch_library(char path[PATH_MAX], char error[VIEW_ERROR_SIZE])
{
    if (!find_library(path, error))
        return false;
    if (!strpbrk(path, ": "))
        return true;
    snprintf(error, VIEW_ERROR_SIZE,
             "%.130s: LD_PRELOAD cannot name a path with blanks or colons: set MEMDEBUG_LIBRARY to "
             "a link without",
             path);
    return false;
}

/* The path that execvp would find.  0 or an errno value. */
static int find_program(const char *name, char *path)
{
    if (strchr(name, '/')) {
        struct stat st;
        snprintf(path, PATH_MAX, "%s", name);
        if (stat(path, &st) != 0)
            return errno;
        return S_ISREG(st.st_mode) && access(path, X_OK) == 0 ? 0 : EACCES;
    }
    const char *search = getenv("PATH");
    if (!search)
        search = "/usr/local/bin:/usr/bin:/bin";
    int result = ENOENT;
    while (name[0] != '\0') {
        size_t length = strcspn(search, ":");
        struct stat st;
        snprintf(path, PATH_MAX, "%.*s%s%s", (int)length, search, length > 0 ? "/" : "./", name);
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
            if (access(path, X_OK) == 0)
                return 0;
            result = EACCES;
        }
        if (search[length] == '\0')
            break;
        search += length + 1;
    }
    return result;
}

/* Replaces a script's path by its interpreter's, which is what the library is loaded into. */
static void interpreter_of(char *path)
{
    char line[PATH_MAX] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, line, sizeof line - 1);
    close(fd);
    if (n < 3 || line[0] != '#' || line[1] != '!')
        return;
    char *name = line + 2 + strspn(line + 2, " \t");
    name[strcspn(name, " \t\r\n")] = '\0';
    if (name[0] == '/')
        memmove(path, name, strlen(name) + 1);
}

bool launch_file(const char *name, char file[PATH_MAX])
{
    if (find_program(name, file) != 0)
        return false;
    interpreter_of(file);
    return true;
}

static int check_program(struct launch *launch, const char *name, char *error)
{
    int result = find_program(name, launch->program);
    if (result) {
        snprintf(error, VIEW_ERROR_SIZE, "%.180s: %s", name,
                 result == ENOENT   ? "not found"
                 : result == EACCES ? "not executable"
                                    : strerror(result));
        return result == ENOENT || result == ENOTDIR ? 127 : 126;
    }
    char file[PATH_MAX], reason[160];
    snprintf(file, sizeof file, "%s", launch->program);
    interpreter_of(file);
    struct elf_kind kind;
    if (elf_kind_read(&kind, file, getuid()))
        return 0; /* exec will report what is wrong with it */
    bool go = kind.is_go;
    if (elf_kind_refuses(&kind, reason, sizeof reason) && !go) {
        snprintf(error, VIEW_ERROR_SIZE, "%.60s cannot be run on memdebug: %s", name, reason);
        return EXIT_FAILURE;
    }
    if (elf_kind_obstacle(&kind, reason, sizeof reason))
        snprintf(launch->warning, sizeof launch->warning, "%.80s: %s", name, reason);
    return 0;
}

/* Sets LD_PRELOAD with our library in front, and MEMDEBUG with the settings behind what it had.
 * False: no memory. */
static bool set_environment(const struct launch *launch)
{
    const char *preload = getenv("LD_PRELOAD"), *had = getenv("MEMDEBUG");
    char *text = NULL, *settings = strdup(had ? had : "");
    bool good = settings != NULL;
    if (asprintf(&text, "%s%s%s", launch->library, preload && preload[0] ? ":" : "",
                 preload ? preload : "") < 0)
        return free(settings), false;
    good = good && setenv("LD_PRELOAD", text, 1) == 0;
    free(text);
    for (size_t i = 0; i < launch->setting_count && good; i++) {
        good =
            asprintf(&text, "%s%s%s", settings, settings[0] ? "," : "", launch->settings[i]) >= 0;
        free(settings);
        settings = good ? text : NULL;
    }
    if (good && settings[0] != '\0')
        good = setenv("MEMDEBUG", settings, 1) == 0;
    free(settings);
    return good;
}

int launch_prepare(struct launch *launch, char error[VIEW_ERROR_SIZE])
{
    int status = check_program(launch, launch->arguments[0], error);
    if (status)
        return status;
    return launch_library(launch->library, error) ? 0 : EXIT_FAILURE;
}

/* In a directory like /tmp others may have put a link under a name that the user has not given, so
 * that file must be new. */
static int open_log(const struct launch_log *log)
{
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (log->may_exist ? O_TRUNC : O_EXCL | O_NOFOLLOW);
    return open(log->path, flags, 0600);
}

static void redirect(int out)
{
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (in < 0)
        _exit(126);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
}

pid_t launch_start(struct launch *launch, const sigset_t *mask, const struct launch_log *log,
                   char error[VIEW_ERROR_SIZE])
{
    int report[2], out = -1;
    launch->status = EXIT_FAILURE;
    if (log && (out = open_log(log)) < 0) {
        snprintf(error, VIEW_ERROR_SIZE, "%.180s: %s: name another with -o", log->path,
                 strerror(errno));
        return -1;
    }
    if (pipe2(report, O_CLOEXEC) != 0) {
        snprintf(error, VIEW_ERROR_SIZE, "pipe: %s", strerror(errno));
        if (out >= 0)
            close(out);
        return -1;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGPIPE, SIG_DFL);
        sigprocmask(SIG_SETMASK, mask, NULL);
        if (out >= 0)
            redirect(out);
        int failed = ENOMEM;
        if (set_environment(launch)) {
            execv(launch->program, launch->arguments);
            failed = errno;
        }
        if (write(report[1], &failed, sizeof failed) < 0)
            _exit(125);
        _exit(126);
    }
    close(report[1]);
    if (out >= 0)
        close(out);
    int failed = pid < 0 ? errno : 0;
    if (pid > 0 && read(report[0], &failed, sizeof failed) != sizeof failed)
        failed = 0;
    close(report[0]);
    if (failed == 0)
        return pid;
    snprintf(error, VIEW_ERROR_SIZE, "%.180s: %s", launch->program, strerror(failed));
    launch->status = pid < 0 ? EXIT_FAILURE : 126;
    return -1;
}
