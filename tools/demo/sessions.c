/* A small session server, as a workload: worker threads take requests from a queue, parse them,
 * look the session up in a cache with a limit, renew it now and then, and keep a graph of who talks
 * to whom.  Its memory should level off after a second.  It does not: one function forgets
 * something.
 *
 *   sessions [SECONDS]     default 15 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WORKERS 3
#define CACHE_BUCKETS 1024
#define CACHE_LIMIT 3000
#define USERS 2000

static void *check(void *p)
{
    if (p == NULL) {
        fprintf(stderr, "sessions: out of memory\n");
        exit(1);
    }
    return p;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ------------------------------------------------------------------------------- requests */

struct header {
    struct header *next;
    char *name, *value;
};

struct request {
    struct request *next;
    unsigned number;
    unsigned user;
    bool renew;
    struct header *headers;
    char *body;
};

/* Blocks of the parser that a thread uses again: the only pointer to them is in its TLS. */
static __thread struct header *spare_headers;

static struct header *take_header(void)
{
    struct header *header = spare_headers;
    if (header != NULL)
        spare_headers = header->next;
    else
        header = check(malloc(sizeof *header));
    return header;
}

static void parse_header(struct request *request, const char *name, unsigned value)
{
    char text[64];
    struct header *header = take_header();
    snprintf(text, sizeof text, "%s-value-%08x", name, value * 2654435761u);
    header->name = check(strdup(name));
    header->value = check(strdup(text));
    header->next = request->headers;
    request->headers = header;
}

static struct request *receive_request(unsigned number)
{
    struct request *request = check(calloc(1, sizeof *request));
    size_t length = 200 + number % 1800;
    request->number = number;
    request->body = check(malloc(length));
    memset(request->body, (int)(number % 26) + 'a', length);
    return request;
}

static void parse_request(struct request *request)
{
    uint64_t scrambled = request->number * 0x9E3779B97F4A7C15ull;
    request->user = (unsigned)(scrambled >> 40) % USERS;
    request->renew = request->number % 4 == 0;
    parse_header(request, "host", request->number);
    parse_header(request, "cookie", request->user);
    parse_header(request, "accept-language", request->number % 7);
}

static void free_request(struct request *request)
{
    while (request->headers != NULL) {
        struct header *header = request->headers;
        request->headers = header->next;
        free(header->name);
        free(header->value);
        header->next = spare_headers;
        spare_headers = header;
    }
    free(request->body);
    free(request);
}

/* ------------------------------------------------------------------------------- sessions */

struct session {
    struct session *next;          /* in its bucket */
    struct session *older, *newer; /* in order of use */
    unsigned user, hits;
    char *name;
    char *token;
};

static struct {
    pthread_mutex_t lock;
    struct session *buckets[CACHE_BUCKETS];
    struct session *oldest, *newest;
    unsigned count;
} cache = {.lock = PTHREAD_MUTEX_INITIALIZER};

static char *make_token(unsigned user, unsigned serial)
{
    size_t size = 1200;
    char *token = check(malloc(size));
    memset(token, 'T', size);
    snprintf(token, size, "%08x.%08x", user, serial);
    return token;
}

static struct session *open_session(unsigned user)
{
    char name[32];
    struct session *session = check(calloc(1, sizeof *session));
    snprintf(name, sizeof name, "user-%u", user);
    session->user = user;
    session->name = check(strdup(name));
    session->token = make_token(user, 0);
    session->next = cache.buckets[user % CACHE_BUCKETS];
    cache.buckets[user % CACHE_BUCKETS] = session;
    cache.count++;
    return session;
}

/* The leak: the old token is not freed. */
static void renew_session(struct session *session)
{
    session->token = make_token(session->user, session->hits);
}

static void unlink_by_use(struct session *session)
{
    *(session->older ? &session->older->newer : &cache.oldest) = session->newer;
    *(session->newer ? &session->newer->older : &cache.newest) = session->older;
}

static void close_session(struct session *session)
{
    struct session **link = &cache.buckets[session->user % CACHE_BUCKETS];
    while (*link != session)
        link = &(*link)->next;
    *link = session->next;
    unlink_by_use(session);
    free(session->name);
    free(session->token);
    free(session);
    cache.count--;
}

static void use_session(const struct request *request)
{
    pthread_mutex_lock(&cache.lock);
    struct session *session = cache.buckets[request->user % CACHE_BUCKETS];
    while (session != NULL && session->user != request->user)
        session = session->next;
    if (session == NULL)
        session = open_session(request->user);
    else
        unlink_by_use(session);
    session->newer = NULL;
    session->older = cache.newest;
    *(cache.newest ? &cache.newest->newer : &cache.oldest) = session;
    cache.newest = session;
    if (++session->hits > 1 && request->renew)
        renew_session(session);
    if (session->hits % 40 == 0)
        close_session(session); /* logged out */
    while (cache.count > CACHE_LIMIT)
        close_session(cache.oldest);
    pthread_mutex_unlock(&cache.lock);
}

/* ------------------------------------------------------------------- who talks to whom */

struct contact {
    struct contact *next;
    unsigned user, messages;
};

struct graph {
    struct contact *contacts[USERS];
};

static struct graph *graph;

static void add_contact(struct graph *g, unsigned from, unsigned to)
{
    for (struct contact *c = g->contacts[from]; c != NULL; c = c->next)
        if (c->user == to) {
            c->messages++;
            return;
        }
    struct contact *contact = check(malloc(sizeof *contact));
    *contact = (struct contact){g->contacts[from], to, 1};
    g->contacts[from] = contact;
}

static struct graph *build_graph(unsigned seed)
{
    struct graph *g = check(calloc(1, sizeof *g));
    for (unsigned i = 0; i < USERS * 8; i++)
        add_contact(g, i % USERS, (i * 7919 + seed) % USERS);
    return g;
}

static void free_graph(struct graph *g)
{
    for (unsigned i = 0; i < USERS; i++)
        while (g->contacts[i] != NULL) {
            struct contact *contact = g->contacts[i];
            g->contacts[i] = contact->next;
            free(contact);
        }
    free(g);
}

/* ---------------------------------------------------------------------------- the server */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t some;
    struct request *first, **last;
    bool closed;
} queue = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .some = PTHREAD_COND_INITIALIZER, .last = &queue.first};

static void put_request(struct request *request)
{
    pthread_mutex_lock(&queue.lock);
    *queue.last = request;
    queue.last = &request->next;
    pthread_cond_signal(&queue.some);
    pthread_mutex_unlock(&queue.lock);
}

static struct request *take_request(void)
{
    pthread_mutex_lock(&queue.lock);
    while (queue.first == NULL && !queue.closed)
        pthread_cond_wait(&queue.some, &queue.lock);
    struct request *request = queue.first;
    if (request != NULL && (queue.first = request->next) == NULL)
        queue.last = &queue.first;
    pthread_mutex_unlock(&queue.lock);
    return request;
}

static void *serve(void *unused)
{
    for (struct request *request; (request = take_request()) != NULL; free_request(request)) {
        parse_request(request);
        use_session(request);
    }
    while (spare_headers != NULL) {
        struct header *header = spare_headers;
        spare_headers = header->next;
        free(header);
    }
    return unused;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 15, start = now();
    pthread_t workers[WORKERS];
    unsigned served = 0, minute = 0;
    graph = build_graph(0);
    for (int i = 0; i < WORKERS; i++)
        pthread_create(&workers[i], NULL, serve, NULL);
    for (double next = start; now() < start + seconds; next += 0.02) {
        for (int i = 0; i < 120; i++)
            put_request(receive_request(served++));
        if (served / 12000 > minute) {
            struct graph *fresh = build_graph(++minute);
            free_graph(graph);
            graph = fresh;
        }
        double rest = next + 0.02 - now();
        if (rest > 0)
            usleep((useconds_t)(rest * 1e6));
    }
    pthread_mutex_lock(&queue.lock);
    queue.closed = true;
    pthread_cond_broadcast(&queue.some);
    pthread_mutex_unlock(&queue.lock);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    free_graph(graph);
    printf("%u requests served, %u sessions open\n", served, cache.count);
    return 0;
}
