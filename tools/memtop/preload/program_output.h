/* The output of another program, which is run as a child, without a shell. */
#ifndef MEMTOP_PROGRAM_OUTPUT_H
#define MEMTOP_PROGRAM_OUTPUT_H

/* Runs a program, found as execvp finds it, to its end, and returns what it wrote to standard
 * output and error, whatever its exit status; malloc'ed.  NULL: it is not there, a signal ended it,
 * or there is no memory.  Nothing is preloaded into it. */
char *program_output(const char *const argv[]);

#endif
