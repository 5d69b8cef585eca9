/* Memory that the kernel has pinned, and writes to without a fault: such writes are not seen by
 * write tracking (track.h).
 *
 * For long: buffers registered with io_uring, RDMA's, AF_XDP's; and whatever a request on a ring of
 * io_uring's or aio's is about to be read into.  With such there is no tracking.
 *
 * For the time of a call: what is read into from a file past the page cache (O_DIRECT).  Pages are
 * pinned when the call begins, which counts as a write to them, and written to by the device until
 * it returns.  Other calls copy, and a copy is a write like any other.
 *
 * Not told from others: a ring that has neither a mapping nor a descriptor any more (registered
 * with itself), descriptors beyond some thousands, and files of a FUSE that reads past the page
 * cache by itself (direct_io), where only calls that are under way at the first stop are known.
 *
 * On the tracer thread, but for pinned_each. */
#ifndef GC_DIRTY_PINNED_H
#define GC_DIRTY_PINNED_H

#include <stdbool.h>
#include <stdint.h>

/* Why writes cannot be tracked; NULL: nothing is pinned for long, as far as the kernel tells.
 * `in_calls` gets then whether a file may be open with O_DIRECT: one is, or there is no
 * telling. */
const char *pinned_look(bool *in_calls);
/* With the world stopped: notes where the calls under way that read files read to.  False: there
 * are more than can be noted. */
bool pinned_note(void);
/* Calls `fn` for each range noted last, of whole pages. */
void pinned_each(void (*fn)(void *ctx, uintptr_t start, uintptr_t end), void *ctx);

#endif
