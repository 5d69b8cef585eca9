/* Files of others that are mapped (segments on a tmpfs, object files that libdw reads) may be cut
 * short by their owners at any time.  A load from the missing part then raises SIGBUS, by which any
 * user could end root's memtop. */
#ifndef MEMTOP_BUS_ERROR_H
#define MEMTOP_BUS_ERROR_H

/* Installs a handler for the whole process: a page of a mapped file that is no longer there becomes
 * a page of zeros, of our own, and the load goes on.  Readers trust nothing that they read, so
 * zeros do no more harm than any damage.  Any other SIGBUS (a hardware error, one that was sent)
 * still ends the process.  Threads must not block SIGBUS: the kernel ends the process then. */
void bus_error_survive(void);
/* Has such another SIGBUS handled by `handler`, which must end the process. */
void bus_error_otherwise(void (*handler)(int number));

#endif
