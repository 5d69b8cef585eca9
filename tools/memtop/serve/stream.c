#include "stream.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

struct stream {
    const struct mhd *mhd;
    struct MHD_Connection *connection;
    pthread_mutex_t lock; /* guards what follows */
    char *text;
    size_t size, sent;
    bool asleep; /* the connection is suspended until there is text */
    bool ended;  /* by its thread */
    bool gone;   /* its response is no more */
};

struct stream *stream_create(const struct mhd *mhd, struct MHD_Connection *connection)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return NULL;
    stream->mhd = mhd;
    stream->connection = connection;
    pthread_mutex_init(&stream->lock, NULL);
    return stream;
}

/* With the lock, which it gives away: frees it if both have done with it. */
static void let_go(struct stream *stream)
{
    bool unused = stream->ended && stream->gone;
    pthread_mutex_unlock(&stream->lock);
    if (!unused)
        return;
    pthread_mutex_destroy(&stream->lock);
    free(stream->text);
    free(stream);
}

/* libmicrohttpd asks for more. */
static ssize_t on_room(void *closure, uint64_t at, char *buffer, size_t most)
{
    struct stream *stream = closure;
    pthread_mutex_lock(&stream->lock);
    size_t n = stream->size - stream->sent;
    ssize_t result = 0;
    if (n > 0) {
        n = n < most ? n : most;
        memcpy(buffer, stream->text + stream->sent, n);
        stream->sent += n;
        result = (ssize_t)n;
    } else if (stream->ended) {
        result = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        stream->asleep = true;
        stream->mhd->MHD_suspend_connection(stream->connection);
    }
    pthread_mutex_unlock(&stream->lock);
    return result;
}

static void on_gone(void *closure)
{
    struct stream *stream = closure;
    pthread_mutex_lock(&stream->lock);
    stream->gone = true;
    let_go(stream);
}

struct MHD_Response *stream_response(struct stream *stream)
{
    return stream->mhd->MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, on_room, stream,
                                                          on_gone);
}

/* With the lock. */
static void wake(struct stream *stream)
{
    if (stream->asleep && !stream->gone)
        stream->mhd->MHD_resume_connection(stream->connection);
    stream->asleep = false;
}

bool stream_put(struct stream *stream, char *text, size_t size)
{
    pthread_mutex_lock(&stream->lock);
    bool taken = stream->sent == stream->size;
    if (taken && !stream->gone) {
        free(stream->text);
        stream->text = text;
        stream->size = size;
        stream->sent = 0;
        wake(stream);
    } else {
        free(text);
    }
    bool there = !stream->gone;
    pthread_mutex_unlock(&stream->lock);
    return there;
}

void stream_end(struct stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    stream->ended = true;
    wake(stream);
    let_go(stream);
}
