/* memtop run: starts a program on memdebug, leaves the terminal to it, and sums up at its end.
 *
 * The program removes its segment's file at exit.  So the segment is mapped as soon as it is there,
 * as what is mapped can still be read. */
#include "cli.h"
#include "commands.h"
#include "preload/launch.h"
#include "series/watch.h"
#include "ui/live_view.h"
#include "ui/summary.h"
#include "ui/term.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct run {
    struct launch launch;
    pid_t pid;
    int64_t start_ns, end_ns;
    bool watching; /* the segment was found */
    struct watch watch;
    char why_none[VIEW_ERROR_SIZE]; /* why it was not, at the last look; "": not known */
    int status;
    struct rusage usage;
};

/* Opens the program's segment, if it has one by now. */
static void look_for_segment(struct run *run)
{
    struct targets targets;
    struct proc_maps maps;
    char error[VIEW_ERROR_SIZE];
    proc_maps(run->pid, &maps);
    if (!maps.segment || targets_scan(&targets) != 0)
        return;
    for (size_t i = 0; i < targets.count && !run->watching; i++)
        if (targets.target[i].pid == run->pid && targets.target[i].state == TARGET_LIVE)
            run->watching = watch_open(&run->watch, &targets.target[i], false, error) == 0;
    targets_fini(&targets);
}

/* Notes why the program has none: by exec it may have become one that cannot be watched. */
static void note_why_none(struct run *run)
{
    struct proc_stat stat;
    char reason[160];
    if (proc_stat(run->pid, &stat) == 0 && !proc_ended(&stat) &&
        !target_why_not(run->pid, reason, sizeof reason, NULL, 0))
        snprintf(run->why_none, sizeof run->why_none, "%s: %s", stat.comm, reason);
}

/* Reads the segment or, as long as there is none, looks for it. */
static void tick(struct run *run)
{
    char error[VIEW_ERROR_SIZE];
    if (run->watching)
        watch_tick(&run->watch, false, error);
    if (run->watching && run->watch.source.state == SOURCE_REPLACED) {
        watch_close(&run->watch); /* by exec: the summary is of the new program */
        run->watching = false;
    }
    if (!run->watching)
        look_for_segment(run);
    if (!run->watching)
        note_why_none(run);
}

/* Waits for the program's end, and passes signals on to it. */
static void wait_for_end(struct run *run, int signals, double interval)
{
    int64_t next_ns = monotonic_ns();
    double early = 0.005; /* the first looks are close: a short program has its segment briefly */
    for (;;) {
        pid_t done = wait4(run->pid, &run->status, WNOHANG, &run->usage);
        if (done == run->pid || (done < 0 && errno != EINTR))
            return;
        if (monotonic_ns() >= next_ns) {
            tick(run);
            double pause = run->watching ? interval : early < interval ? early : interval;
            early *= 1.2;
            next_ns = monotonic_ns() + (int64_t)(pause * 1e9);
        }
        struct pollfd wait = {signals, POLLIN, 0};
        int64_t wait_ms = (next_ns - monotonic_ns()) / 1000000 + 1;
        poll(&wait, 1, wait_ms < 0 ? 0 : (int)wait_ms);
        struct signalfd_siginfo info;
        while (read(signals, &info, sizeof info) == sizeof info) {
            /* The terminal has sent its signals to the program itself. */
            bool from_terminal = info.ssi_code == SI_KERNEL;
            if (info.ssi_signo != SIGCHLD && !from_terminal)
                kill(run->pid, (int)info.ssi_signo);
        }
    }
}

static int open_signals(sigset_t *before)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        sigaddset(&set, signals[i]);
    sigprocmask(SIG_BLOCK, &set, before);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* --live: shows the view until the user leaves it; the program then runs on. */
static void watch_live(struct run *run, const struct options *options, int signals)
{
    char error[VIEW_ERROR_SIZE] = "";
    while (!run->watching) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)run->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid != 0)
            return;
        tick(run);
        struct pollfd wait = {signals, POLLIN, 0};
        poll(&wait, 1, 50);
    }
    if (!run->watching || !term_open(options->view.color, error)) {
        if (error[0] != '\0')
            cli_error("%s", error);
        return;
    }
    struct target target = run->watch.source.target;
    live_watch(&target, &options->view, false, error);
    term_close();
}

static int exit_status(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int command_run(const struct options *options)
{
    struct run run = {.launch = {.arguments = options->arguments,
                                 .settings = options->settings,
                                 .setting_count = options->setting_count}};
    char error[VIEW_ERROR_SIZE], output[64] = "";
    cli_wrappers();
    int status = launch_prepare(&run.launch, error);
    if (status != 0) {
        cli_error("%s", error);
        return status;
    }
    if (run.launch.warning[0] != '\0')
        cli_error("%s", run.launch.warning);
    snprintf(run.why_none, sizeof run.why_none, "%s", run.launch.warning);
    struct launch_log log = {options->output, options->output != NULL};
    bool live = options->live && !cli_batch(options);
    if (live && !log.path) {
        snprintf(output, sizeof output, "memtop-run-%d.log", (int)getpid());
        log.path = output;
    }
    sigset_t before;
    int signals = open_signals(&before);
    run.start_ns = monotonic_ns();
    run.pid = launch_start(&run.launch, &before, live ? &log : NULL, error);
    if (run.pid < 0) {
        cli_error("%s", error);
        return run.launch.status;
    }
    if (live)
        watch_live(&run, options, signals);
    wait_for_end(&run, signals,
                 options->view.interval_seconds < 0.5 ? options->view.interval_seconds : 0.5);
    run.end_ns = monotonic_ns();
    if (run.watching) {
        char ignored[VIEW_ERROR_SIZE];
        cli_missing_names();
        watch_tick(&run.watch, false, ignored);
    }
    struct summary summary = {.argument = options->arguments,
                              .argument_count = options->argument_count,
                              .status = run.status,
                              .usage = &run.usage,
                              .wall_seconds = (double)(run.end_ns - run.start_ns) / 1e9,
                              .watch = run.watching ? &run.watch : NULL,
                              .log = live ? log.path : NULL,
                              .why_none = run.why_none};
    summary_print(&summary, options->json, stderr);
    if (run.watching)
        watch_close(&run.watch);
    close(signals);
    return exit_status(run.status);
}
