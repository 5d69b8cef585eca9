/* What another program says: run as a child, without a shell. */
#ifndef MEMTOP_PROGRAM_OUTPUT_H
#define MEMTOP_PROGRAM_OUTPUT_H

/* Standard output and error of a program found as execvp finds it, whatever its status, read until
 * it ends; malloc'ed.  NULL: it is not there.  Nothing is preloaded into it. */
char *program_output(const char *const argv[]);

#endif
