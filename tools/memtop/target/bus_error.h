/* What is mapped from other people's files may be cut by them at any time: segments on a tmpfs,
 * object files that libdw reads.  A load from the missing part then raises SIGBUS, which would let
 * any user end root's memtop. */
#ifndef MEMTOP_BUS_ERROR_H
#define MEMTOP_BUS_ERROR_H

/* Installs the handler, for the whole process and all its threads: a page of a mapped file that is
 * no longer there becomes a page of zeros, of our own, and the load goes on.  Readers trust nothing
 * that they read, so zeros are as good as any damage.  A page that has no memory because of a
 * hardware error still ends the process. */
void bus_error_survive(void);

#endif
