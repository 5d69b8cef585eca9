/* The connections of a server, for a bound on how long what goes on with each may take: who sends a
 * request, or takes an answer, byte by byte would never be idle.  Any thread. */
#ifndef MEMTOP_CLIENTS_H
#define MEMTOP_CLIENTS_H

#include <pthread.h>
#include <stdint.h>

struct client;
struct clients {
    pthread_mutex_t lock;
    struct client *first;
};
#define CLIENTS_NONE                                                                               \
    {                                                                                              \
        .lock = PTHREAD_MUTEX_INITIALIZER                                                          \
    }

/* NULL: no memory; the connection then has no bound. */
struct client *clients_add(struct clients *clients, int fd, int64_t ns);
void clients_remove(struct clients *clients, struct client *client); /* accepts NULL */
/* From now on it may take so long; 0: for ever.  Accepts NULL. */
void clients_bound(struct clients *clients, struct client *client, int64_t ns);
/* Shuts down those that are overdue. */
void clients_end_overdue(struct clients *clients);

#endif
