/* What a program linked to libmemdebug may ask of it.  Nothing here is needed to be watched: the
 * library does all its work when it is loaded.  Errors are errno values, 0 is success.  No function
 * here is async-signal-safe unless it says so; all may be called from any thread. */
#ifndef MEMDEBUG_MEMDEBUG_H
#define MEMDEBUG_MEMDEBUG_H

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0".  Static, never freed.  Async-signal-safe. */
const char *md_version(void);

/* Sets an option that MEMDEBUG marks as settable at run time, e.g. md_set("memprofilerate",
 * "4096"). Takes effect at each thread's next sample.  EINVAL: unknown key or bad value; EPERM: not
 * settable after start; ENOSYS: not in this version. */
int md_set(const char *key, const char *value);

/* Runs a cycle of the tracing layer and waits until it has ended.  ENOTSUP: the process was not
 * started with MEMDEBUG=gc=ready or observe; EAGAIN: the cycle could not be done (the reason is in
 * the trace and in memtop). */
int md_gc(void);

/* Gives memory that is free back to the system: all that the allocator keeps for later, but for
 * what lies in other threads' caches.  It takes a system call for each run of free pages, and the
 * program a page fault for each that it uses again.  ENOTSUP: the program's malloc is not
 * memdebug's. */
int md_free_os_memory(void);

/* Writes a heap profile (gzip'ed profile.proto) to `path`, through a temporary name, mode 0600.
 * Returns the errno of what failed. */
int md_heap_profile(const char *path);

#ifdef __cplusplus
}
#endif
#endif
