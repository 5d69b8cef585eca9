#include "trace_file.h"

#include "base/compiler.h"
#include "base/fmt.h"
#include "base/message.h"
#include "base/options.h"
#include "base/os.h"
#include "segment/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DESCRIPTOR_MIN 500 /* out of the way of the program's own */

/* The pattern is set before threads; the rest is used by one thread at a time (trace_file.h). */
static char pattern[PATH_MAX];
static char path[PATH_MAX]; /* of this process */
static int held = -1;
static dev_t dev;
static ino_t ino;
static int said_error; /* the errno that was complained about last */

static bool is_same(const struct stat *st)
{
    return st->st_dev == dev && st->st_ino == ino;
}

/* Is the file that we hold still under our descriptor? */
static bool is_held(struct stat *st)
{
    return held >= 0 && fstat(held, st) == 0 && is_same(st);
}

static void let_go(void)
{
    struct stat st;
    if (is_held(&st)) /* else the program has closed it, and the number is not ours any more */
        close(held);
    held = -1;
}

/* Opens the path, and holds it where that does no harm.  `*fd` is to be closed by the caller if it
 * is not what is held.  0 or an errno value. */
static int open_anew(int *fd)
{
    struct stat st;
    *fd = os_open_append(path);
    if (*fd < 0)
        return errno;
    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode))
        return 0;
    int high = fcntl(*fd, F_DUPFD_CLOEXEC, DESCRIPTOR_MIN);
    if (high < 0)
        return 0; /* beyond RLIMIT_NOFILE: opened for each line */
    close(*fd);
    let_go();
    dev = st.st_dev;
    ino = st.st_ino;
    *fd = held = high;
    return 0;
}

/* The descriptor to write a line to. */
static int choose(int *fd)
{
    struct stat ours, named;
    *fd = -1;
    if (!is_held(&ours)) {
        held = -1;
        return open_anew(fd);
    }
    bool removed = ours.st_nlink == 0; /* what is written now, nobody can read */
    bool moved = stat(path, &named) == 0 ? !is_same(&named) : errno == ENOENT || removed;
    int error = moved ? open_anew(fd) : 0;
    if (!moved || error)
        *fd = held;
    return removed ? error : 0;
}

static void complain(int error)
{
    char advice[80];
    struct fmt f = fmt_on(advice, sizeof advice);
    fmt_text(&f, "; the lines stay in memory: memtop tail ");
    fmt_u64(&f, (uint64_t)getpid());
    message_refused("gctracefile", path, error, advice);
}

static void name_file(void)
{
    struct fmt f = fmt_on(path, sizeof path);
    const struct md_header *who = segment_identity();
    fmt_path(&f, pattern, who->pid, who->name);
}

/* Once for each reason, and again when it has worked meanwhile. */
static int tell(int error)
{
    if (error && error != EAGAIN && error != said_error)
        complain(error);
    if (error != EAGAIN)
        said_error = error;
    return error;
}

void trace_file_init(bool wanted)
{
    int fd, saved = errno;
    fmt_absolute(pattern, sizeof pattern, option_text(OPTION_GCTRACEFILE));
    if (pattern[0] && wanted) {
        name_file();
        int error = open_anew(&fd);
        if (!error && fd != held)
            close(fd);
        /* A FIFO that nobody reads yet is none to complain about. */
        if (error != ENXIO)
            tell(error);
    }
    errno = saved;
}

static int write_to_file(const char *line, size_t length)
{
    int fd, saved = errno;
    if (!path[0])
        name_file();
    int error = choose(&fd);
    if (!error)
        error = write_unblocked(fd, line, length);
    if (fd >= 0 && fd != held)
        close(fd);
    errno = saved;
    return tell(error);
}

/* What finds no place stays in the segment; what a place does not take is lost to it. */
void trace_file_line(const char *line, size_t length)
{
    uint32_t output = pattern[0]                            ? MD_TRACE_FILE
                      : message_place() == MESSAGE_REPLACED ? MD_TRACE_REPLACED
                                                            : MD_TRACE_STDERR;
    int error = pattern[0] ? write_to_file(line, length) : message_write(line, length);
    if (error && error != EBADF)
        COUNT_ADD(lost_lines, 1);
    segment_header()->trace_output = error ? MD_TRACE_SEGMENT : output;
}

void trace_file_postfork_child(void)
{
    int saved = errno;
    said_error = 0;
    if (strstr(pattern, "{pid}") || strstr(pattern, "%p")) {
        let_go();
        path[0] = 0; /* named when there is something to write: the pid is not known yet */
    }
    errno = saved;
}
