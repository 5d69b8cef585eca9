/* leakcheck=1: what the program leaks, told on its stderr when it exits.
 *
 * Two cycles have been done by then, as a leak is what two could not reach; one, where no thread
 * but the exiting one is there to change anything between them.  What a process leaks it tells in
 * any case, and that it could not find out; whether that is a failure is leakexitcode's to say,
 * which acts in the process that it was given to, whatever that execs, and not in children, whose
 * status somebody waits for and acts upon; unless `only` names whom it is for. */
#ifndef LEAKCHECK_H
#define LEAKCHECK_H

/* Finds out whether leakexitcode acts in this process, and marks its environment for those to come.
 * At the first allocation, after the options. */
void leakcheck_boot(void);
/* One line, once in a process tree, where `text`, MEMDEBUG's, says what the check is to do and
 * nothing of leakcheck itself: whoever counts on it would take silence for a pass. */
void leakcheck_unasked(char *text);
/* Learns where leaksuppressions is: relative to the directory the program was started in.  Before
 * threads. */
void leakcheck_init(void);
/* Writes the report, if there is anything to say, or why there is none.  On a thread of ours, after
 * the cycles.  0 or an errno value. */
int leakcheck_report(void);
/* It could not be found out what leaks: says so, and why.  That is the verdict then; after another
 * it does nothing.  Any thread, any time when the program's name is known. */
void leakcheck_failed(const char *reason);
/* What to exit with: leakexitcode if there are leaks that are not suppressed, or if it could not be
 * found out, and if it acts here; 0: what the program says. */
int leakcheck_exit_code(void);
/* In a forked child: it has its own leaks, and its status is its own. */
void leakcheck_postfork_child(void);

#endif
