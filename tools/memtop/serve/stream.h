/* A response that goes on: text that a thread hands over now and then, and libmicrohttpd's thread
 * takes as fast as the client does.  Between two texts the connection is suspended. */
#ifndef MEMTOP_STREAM_H
#define MEMTOP_STREAM_H

#include "mhd.h"

#include <stdbool.h>
#include <stddef.h>

struct stream;

/* NULL: no memory.  It belongs to its thread and to its response, which free it together. */
struct stream *stream_create(const struct mhd *mhd, struct MHD_Connection *connection);
/* The response, to be made once; NULL: no memory. */
struct MHD_Response *stream_response(struct stream *stream);
/* Hands over text of `size` bytes, which is malloc'ed and the stream's from now on.  It is dropped
 * if the client has not yet taken the one before.  False: the client has gone. */
bool stream_put(struct stream *stream, char *text, size_t size);
/* There is no more: the response ends.  Nothing may be done with it afterwards. */
void stream_end(struct stream *stream);

#endif
