#include "clients.h"

#include "target/source.h"

#include <stdlib.h>
#include <sys/socket.h>

struct client {
    int fd;
    int64_t until_ns; /* monotonic; 0: no bound */
    struct client *next, **link;
};

struct client *clients_add(struct clients *clients, int fd, int64_t ns)
{
    struct client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    pthread_mutex_lock(&clients->lock);
    *client = (struct client){fd, monotonic_ns() + ns, clients->first, &clients->first};
    if (client->next)
        client->next->link = &client->next;
    clients->first = client;
    pthread_mutex_unlock(&clients->lock);
    return client;
}

void clients_remove(struct clients *clients, struct client *client)
{
    if (!client)
        return;
    pthread_mutex_lock(&clients->lock);
    *client->link = client->next;
    if (client->next)
        client->next->link = client->link;
    pthread_mutex_unlock(&clients->lock);
    free(client);
}

void clients_bound(struct clients *clients, struct client *client, int64_t ns)
{
    if (!client)
        return;
    pthread_mutex_lock(&clients->lock);
    client->until_ns = ns ? monotonic_ns() + ns : 0;
    pthread_mutex_unlock(&clients->lock);
}

void clients_end_overdue(struct clients *clients)
{
    int64_t now = monotonic_ns();
    pthread_mutex_lock(&clients->lock);
    for (struct client *client = clients->first; client; client = client->next)
        if (client->until_ns && now > client->until_ns)
            shutdown(client->fd, SHUT_RDWR);
    pthread_mutex_unlock(&clients->lock);
}
