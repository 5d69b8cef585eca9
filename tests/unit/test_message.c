/* What the library says reaches a descriptor 2 of every kind, or none that is somebody else's. */
#include "base/message.h"
#include "core_test.h"
#include "tap.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>

/* Each of the following runs in a copy of its own: descriptor 2 is theirs.  `said` gets what came
 * out at the other end, if that is a pipe of packets: one read is one write. */
struct stage {
    int ends[2];
    char out[8192];
};

static int take(struct stage *s)
{
    ssize_t n = read(s->ends[0], s->out, sizeof s->out - 1);
    s->out[n > 0 ? n : 0] = 0;
    return (int)n;
}

static bool pipe_at_2(struct stage *s, int flags)
{
    return pipe2(s->ends, flags) == 0 && dup2(s->ends[1], 2) == 2 && close(s->ends[1]) == 0 &&
           fcntl(s->ends[0], F_SETFL, O_NONBLOCK) == 0;
}

/* Checks of a copy: the number of the first that failed. */
#define NEED(n, condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return (n);                                                                            \
    } while (0)

static int says_lines(void *argument)
{
    struct stage s;
    char text[4000];
    (void)argument;
    NEED(1, pipe_at_2(&s, O_DIRECT));
    NEED(2, message_write("x", 1) == EBADF); /* not before message_init */
    message("too early");
    NEED(3, take(&s) < 0);
    message_init();
    errno = 77;
    message("one");
    NEED(4, take(&s) == 14 && strcmp(s.out, "memdebug: one\n") == 0);
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = 0;
    message(text);
    int n = take(&s);
    NEED(5, n > 500 && n < 2000 && s.out[n - 1] == '\n' && strchr(s.out, '\n') == s.out + n - 1);
    NEED(6, take(&s) < 0); /* one write each */
    errno = 77;
    int count = 3; /* "too early" was one */
    for (int i = 0; i < 2 * MESSAGE_LIMIT; i++) {
        errno = 77;
        message("again");
        NEED(7, errno == 77);
        count += take(&s) > 0;
    }
    NEED(8, count == MESSAGE_LIMIT);
    NEED(9, message_write("line\n", 5) == 0 && take(&s) == 5); /* has no such limit */
    return 0;
}

static int leaves_other_files(void *argument)
{
    struct stage s;
    struct stat st;
    char path[] = "/tmp/test_message-XXXXXX";
    (void)argument;
    NEED(1, pipe_at_2(&s, O_DIRECT));
    message_init();
    close(2);
    NEED(2, message_write("x", 1) == EBADF);
    int fd = mkstemp(path);
    unlink(path);
    NEED(3, fd == 2);
    message("not here");
    NEED(4, message_write("x", 1) == EBADF && fstat(2, &st) == 0 && st.st_size == 0);
    NEED(5, take(&s) == 0); /* the end of the pipe: nobody kept it */
    return 0;
}

static int keeps_stderr(void *argument)
{
    struct stage s;
    (void)argument;
    NEED(1, pipe_at_2(&s, O_DIRECT));
    message_init();
    NEED(2, !message_kept());
    errno = 77;
    message_keep();
    message_keep();
    NEED(3, message_kept() && errno == 77);
    message_check();
    NEED(4, message_kept()); /* the program still has its own */
    close(2);
    NEED(5, message_write("early\n", 6) == EBADF);
    message_ending();
    NEED(6, message_write("late\n", 5) == 0 && take(&s) == 5 && strcmp(s.out, "late\n") == 0);
    message_check();
    NEED(7, message_kept()); /* at the end nobody lets go */
    message_release();
    NEED(8, !message_kept() && take(&s) == 0);
    NEED(9, message_write("x", 1) == EBADF && errno == 77);
    return 0;
}

static int lets_go(void *argument)
{
    struct stage s;
    (void)argument;
    NEED(1, pipe_at_2(&s, O_DIRECT));
    message_init();
    message_keep();
    NEED(2, open("/dev/null", O_WRONLY) >= 0 && dup2(open("/dev/null", O_WRONLY), 2) == 2);
    NEED(3, take(&s) < 0); /* we have it still */
    message_check();
    NEED(4, !message_kept() && take(&s) == 0);
    return 0;
}

/* Says "x" and tells the bytes that have come into the file at `path` by it. */
static int said_into(const char *path)
{
    struct stat before = {0}, after = {0};
    stat(path, &before);
    message_write("x", 1);
    stat(path, &after);
    return (int)(after.st_size - before.st_size);
}

static int follows_replacement(void *argument)
{
    struct stage s, other;
    char log[] = "/tmp/test_message-XXXXXX", data[] = "/tmp/test_message-XXXXXX", fifo[64];
    int sockets[2];
    (void)argument;
    NEED(1, pipe_at_2(&s, O_DIRECT));
    message_init();
    int file = mkstemp(log), base = mkstemp(data);
    NEED(2, file > 2 && base > 2 && message_place() == MESSAGE_STDERR);

    /* A file by dup2. */
    errno = 77;
    message_note(file);
    NEED(3, errno == 77 && message_place() == MESSAGE_STDERR); /* it has not come yet */
    dup2(file, 2);
    NEED(4, message_place() == MESSAGE_REPLACED && said_into(log) == 1);
    /* Another takes the number, to append too, while the note stands. */
    close(2);
    NEED(5, open(data, O_WRONLY | O_APPEND) == 2 && message_place() == MESSAGE_NOWHERE);
    NEED(6, message_write("x", 1) == EBADF && said_into(data) == 0);
    /* Noted, but the call failed. */
    message_note(-1);
    NEED(7, said_into(data) == 0);
    /* A pipe that took the number is half of somebody's protocol; by dup3 it is stderr. */
    close(2);
    NEED(8, pipe(other.ends) == 0 && other.ends[0] == 2 && fcntl(2, F_DUPFD, 3) > 2);
    NEED(8, dup2(other.ends[1], 2) == 2);
    NEED(9, message_write("x", 1) == EBADF);
    message_note(other.ends[1]);
    NEED(10, message_write("x", 1) == 0);
    /* Sockets never. */
    NEED(11, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
    message_note(sockets[0]);
    NEED(12, dup2(sockets[0], 2) == 2 && message_write("x", 1) == EBADF);
    /* /dev/null would be silence. */
    int null = open("/dev/null", O_WRONLY);
    message_note(null);
    NEED(13, dup2(null, 2) == 2 && message_write("x", 1) == EBADF);
    /* A FIFO with a name, however it came. */
    snprintf(fifo, sizeof fifo, "%s.fifo", log);
    close(2);
    int reader = mkfifo(fifo, 0600) == 0 ? open(fifo, O_RDONLY | O_NONBLOCK) : -1;
    if (reader == 2)
        reader = fcntl(2, F_DUPFD, 3);
    close(2);
    NEED(14, open(fifo, O_WRONLY) == 2 && message_write("x", 1) == 0);
    /* And back. */
    dup2(s.ends[0], 2);
    NEED(15, message_place() == MESSAGE_STDERR);
    unlink(log);
    unlink(data);
    unlink(fifo);
    return 0;
}

static int spares_reused_descriptor(void *argument)
{
    struct stage s;
    (void)argument;
    NEED(1, pipe_at_2(&s, O_DIRECT));
    message_init();
    message_keep();
    int kept = -1;
    for (int fd = 3; fd < 1024; fd++)
        if (fd != s.ends[0] && fcntl(fd, F_GETFD) >= 0 && fd >= 500)
            kept = fd;
    NEED(2, kept >= 500 && (fcntl(kept, F_GETFD) & FD_CLOEXEC));
    NEED(3, dup2(open("/dev/null", O_WRONLY), kept) == kept); /* the program closes all, and more */
    message_release();
    NEED(4, fcntl(kept, F_GETFD) >= 0);
    close(2);
    message_ending();
    NEED(5, message_write("x", 1) == EBADF);
    return 0;
}

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* A reader that does not read: lines are lost, whole, and nobody waits. */
static int full_pipe(void *argument)
{
    struct stage s;
    char line[600];
    int refused = 0, written = 0;
    (void)argument;
    NEED(1, pipe_at_2(&s, 0));
    message_init();
    memset(line, 'z', sizeof line - 1);
    line[sizeof line - 1] = '\n';
    double start = seconds();
    for (int i = 0; i < 1000; i++) {
        int error = message_write(line, sizeof line);
        NEED(2, error == 0 || error == EAGAIN);
        error ? refused++ : written++;
    }
    NEED(3, seconds() - start < 5 && refused && written > 50);
    NEED(4, !(fcntl(2, F_GETFL) & O_NONBLOCK)); /* others share it */
    long bytes = 0;
    while (take(&s) > 0)
        bytes += (long)strlen(s.out);
    NEED(5, bytes == (long)written * (long)sizeof line);
    NEED(6, message_write(line, sizeof line) == 0);
    return 0;
}

/* Every slot of the pipe but one holds a byte: there is room for a page, by FIONREAD for many. */
static int crowded_pipe(void *argument)
{
    struct stage s;
    char line[2000];
    (void)argument;
    NEED(1, pipe_at_2(&s, O_DIRECT));
    message_init();
    memset(line, 'z', sizeof line);
    int error = 0, written = 0;
    while (written < 1000 && (error = message_write("y", 1)) == 0)
        written++;
    NEED(2, error == EAGAIN && written >= 8);
    NEED(3, take(&s) == 1);
    NEED(4, message_write(line, sizeof line) == 0);
    NEED(5, message_write(line, sizeof line) == EAGAIN);
    return 0;
}

static int broken_pipe(void *argument)
{
    struct stage s;
    (void)argument;
    NEED(1, pipe_at_2(&s, 0));
    message_init();
    close(s.ends[0]);
    message("to nobody"); /* SIGPIPE would end us */
    NEED(2, message_write("x", 1) == EPIPE);
    return 0;
}

static int full_socket(void *argument)
{
    int ends[2], error = 0, written = 0;
    char line[600] = "";
    (void)argument;
    NEED(1, socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && dup2(ends[1], 2) == 2);
    close(ends[1]);
    message_init();
    while (written < 100000 && (error = message_write(line, sizeof line)) == 0)
        written++;
    NEED(2, error == EAGAIN && written > 10);
    close(ends[0]);
    NEED(3, message_write("x", 1) == EPIPE);
    return 0;
}

/* A terminal whose other side has stopped reading, filled by lines of all lengths. */
static int full_terminal(void *argument)
{
    struct termios mode;
    char name[64], line[700], in[4096];
    int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
    (void)argument;
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0 ||
        ptsname_r(master, name, sizeof name) != 0 || (slave = open(name, O_RDWR | O_NOCTTY)) < 0)
        return CANNOT_MOUNT;
    tcgetattr(slave, &mode);
    cfmakeraw(&mode);
    tcsetattr(slave, TCSANOW, &mode);
    dup2(slave, 2);
    message_init();
    memset(line, 'z', sizeof line);
    fcntl(master, F_SETFL, O_NONBLOCK);
    alarm(4); /* ends a copy that waits */
    for (int round = 0; round < 40; round++) {
        size_t length = 100 + draw(600);
        int refused = 0;
        for (int i = 0; i < 2000 && refused < 3; i++)
            refused += message_write(line, length) != 0;
        NEED(1, refused);
        NEED(2, read(master, in, 1 + draw(sizeof in)) > 0);
    }
    NEED(3, !(fcntl(2, F_GETFL) & O_NONBLOCK));
    while (read(master, in, sizeof in) > 0)
        ;
    NEED(4, message_write("end\n", 4) == 0);
    return 0;
}

static int other_files(void *argument)
{
    char path[] = "/tmp/test_message-XXXXXX", buf[16] = "";
    int fd = mkstemp(path);
    (void)argument;
    unlink(path);
    NEED(1, fd >= 0 && write_unblocked(fd, "hello", 5) == 0 && pread(fd, buf, 15, 0) == 5 &&
                strcmp(buf, "hello") == 0);
    int null = open("/dev/null", O_WRONLY), full = open("/dev/full", O_WRONLY);
    errno = 77;
    NEED(2, write_unblocked(null, "x", 1) == 0);
    NEED(3, full < 0 || write_unblocked(full, "x", 1) == ENOSPC);
    NEED(4, write_unblocked(-1, "x", 1) == EBADF);
    NEED(5, errno == 77);
    return 0;
}

int main(void)
{
    is(in_copy(says_lines, NULL), 0, "a message is one line in one write, at most %d of them",
       MESSAGE_LIMIT);
    is(in_copy(leaves_other_files, NULL), 0, "nothing goes to a descriptor 2 that is another file");
    is(in_copy(keeps_stderr, NULL), 0, "stderr that is kept is used at the end");
    is(in_copy(lets_go, NULL), 0, "and let go when the program has replaced its own");
    is(in_copy(follows_replacement, NULL), 0,
       "what dup2 brings is written to, what merely takes the number is not");
    is(in_copy(spares_reused_descriptor, NULL), 0, "a descriptor reused is not closed");
    is(in_copy(full_pipe, NULL), 0, "a full pipe takes whole lines or none, at once");
    is(in_copy(crowded_pipe, NULL), 0, "so does one whose pages hold a byte each");
    is(in_copy(broken_pipe, NULL), 0, "a pipe that nobody reads is EPIPE and no signal");
    is(in_copy(full_socket, NULL), 0, "a full socket is EAGAIN");
    int terminal = in_copy(full_terminal, NULL);
    if (terminal == CANNOT_MOUNT)
        tap_skip("a full terminal", "no pseudo-terminals");
    else
        is(terminal, 0, "a terminal that has stopped: nobody waits");
    is(in_copy(other_files, NULL), 0, "files and devices");
    return tap_done();
}
