/* leakcheck=1: what the program leaks, told on its stderr when it exits.
 *
 * Two cycles have been done by then, as a leak is what two could not reach; one, where no thread
 * but the exiting one is there to change anything between them.  What a process leaks it tells in
 * any case; whether that is a failure is leakexitcode's to say. */
#ifndef LEAKCHECK_H
#define LEAKCHECK_H

#include <stdbool.h>

/* Learns where leaksuppressions is: relative to the directory the program was started in.  Before
 * threads. */
void leakcheck_init(void);
/* Writes the report, if there is anything to say.  On a thread of ours, after the cycles.  0 or an
 * errno value. */
int leakcheck_report(void);
/* A cycle could not be done: says so, and why. */
void leakcheck_failed(const char *reason);
/* Whether the report named leaks that are not suppressed. */
bool leakcheck_found(void);
/* In a forked child: it has its own leaks. */
void leakcheck_renew(void);

#endif
