/* Memory that the program keeps from copies of itself (MADV_DONTFORK): its buffers for RDMA or KVM,
 * say.  In the snapshot child it is missing, and what only it points to would look leaked. */
#ifndef GC_HIDDEN_H
#define GC_HIDDEN_H

#include <stdint.h>

/* In the snapshot child of process `parent`, before it maps anything: gives the child what is
 * missing, as it is in the parent a moment after the snapshot.  NULL, or why it cannot be seen. */
const char *hidden_restore(uint32_t parent);

#endif
