#include "server.h"

#include "answer.h"
#include "clients.h"
#include "listen.h"
#include "mhd.h"
#include "stream.h"
#include "target/source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define HEADER_BYTES (size_t)(16 * 1024)
#define BODY_BYTES (size_t)(64 * 1024)
#define IDLE_SECONDS 30 /* until libmicrohttpd closes a connection on which nothing moves */
#define COME_NS (INT64_C(30) * 1000000000)
#define TAKE_NS (INT64_C(300) * 1000000000)
#define END_MS 5000 /* for what is worked at, once serve is to end */

struct server {
    const struct mhd *mhd;
    const struct server_options *options;
    struct answers *answers;
    struct clients clients;
    int stop_fd; /* readable once serve is to end */
    pthread_mutex_t lock;
    pthread_cond_t job_ended; /* with the lock, which guards what follows */
    bool stopping;
    struct request *waiting; /* for a place, the first that came first */
    unsigned jobs;
    pid_t job_pids[SERVER_JOBS]; /* of the jobs that run; 0: of several; -1: unused */
};

struct request {
    struct server *server;
    struct MHD_Connection *connection;
    struct route route;
    unsigned wrong; /* HTTP status of route_parse's refusal; 0: none */
    const char *why;
    char *uri; /* the route's query points into it */
    struct reply reply;
    struct question question;
    char *body;
    size_t body_size;
    struct stream *stream; /* of /events, once its thread has begun it */
    bool begun, worked;    /* its headers have been looked at; a job has made the reply */
    int job;               /* in job_pids */
    struct request *next;  /* in server.waiting */
};

/* ------------------------------------------------------------------------------- connections */

static void client_bound(struct request *request, int64_t ns)
{
    struct server *server = request->server;
    const union MHD_ConnectionInfo *info = server->mhd->MHD_get_connection_info(
        request->connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    clients_bound(&server->clients, info ? info->socket_context : NULL, ns);
}

static void on_connection(void *closure, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct server *server = closure;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            server->mhd->MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *context = info ? clients_add(&server->clients, info->connect_fd, COME_NS) : NULL;
    } else {
        clients_remove(&server->clients, *context);
        *context = NULL;
    }
}

/* --------------------------------------------------------------------------------------- jobs */

/* Waits as a request's `wait`; false: its client has gone, or serve is to end. */
static bool wait_for_client(void *closure, double seconds)
{
    struct request *request = closure;
    const union MHD_ConnectionInfo *info = request->server->mhd->MHD_get_connection_info(
        request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct pollfd fds[2] = {{.fd = info ? info->connect_fd : -1, .events = POLLRDHUP},
                            {.fd = request->server->stop_fd, .events = POLLIN}};
    int64_t until_ns = monotonic_ns() + (int64_t)(seconds * 1e9);
    for (;;) {
        int64_t left = until_ns - monotonic_ns();
        if (left <= 0)
            return true;
        int n = poll(fds, 2, (int)(left / 1000000) + 1);
        if (n > 0 || (n < 0 && errno != EINTR))
            return false;
    }
}

/* With the lock: a free place for a job of this process; -1: there is none now. */
static int take_job_locked(struct server *server, pid_t pid)
{
    int free_one = -1;
    unsigned same = 0;
    for (int i = 0; i < SERVER_JOBS; i++) {
        if (server->job_pids[i] == -1)
            free_one = i;
        same += server->job_pids[i] == pid;
    }
    if (same >= SERVER_JOBS_OF_ONE || free_one < 0)
        return -1;
    server->job_pids[free_one] = pid;
    server->jobs++;
    return free_one;
}

static void return_job_locked(struct server *server, int job)
{
    server->job_pids[job] = -1;
    server->jobs--;
    pthread_cond_broadcast(&server->job_ended);
}

/* With the lock: the first that waits for a place and may have one now, which it gets; NULL: there
 * is none such. */
static struct request *next_locked(struct server *server)
{
    for (struct request **at = &server->waiting; *at; at = &(*at)->next) {
        struct request *request = *at;
        request->job = take_job_locked(server, request->route.pid);
        if (request->job < 0)
            continue;
        *at = request->next;
        return request;
    }
    return NULL;
}

/* An answer that goes on.  Once its stream has begun the request is not the thread's any more. */
struct events {
    struct server *server;
    struct request *request;
    struct stream *stream;
};

static bool wait_for_event(void *closure, double seconds)
{
    struct events *events = closure;
    struct pollfd stop = {.fd = events->server->stop_fd, .events = POLLIN};
    return poll(&stop, 1, (int)(seconds * 1000)) == 0;
}

static bool send_event(void *closure, char *text, size_t size)
{
    struct events *events = closure;
    if (events->stream)
        return stream_put(events->stream, text, size);
    struct request *request = events->request;
    struct stream *stream = stream_create(events->server->mhd, request->connection);
    if (!stream) {
        free(text);
        return false;
    }
    stream_put(stream, text, size);
    events->stream = request->stream = stream;
    request->reply = (struct reply){.status = 200, .type = REPLY_EVENTS};
    request->worked = true;
    events->server->mhd->MHD_resume_connection(request->connection);
    return true;
}

/* True: the reply is the request's, as of other pages, and not a stream. */
static bool work_events(struct request *request)
{
    struct events events = {request->server, request, NULL};
    struct question question = request->question;
    struct route route = request->route;
    route.raw_query = "";
    question.route = &route;
    question.send = send_event;
    question.wait = wait_for_event;
    question.closure = &events;
    struct reply reply = {0};
    answer_question(events.server->answers, &question, &reply);
    if (events.stream) {
        stream_end(events.stream);
        return false;
    }
    request->reply = reply;
    return true;
}

/* A thread makes one reply after the other, as long as requests wait. */
static void *work(void *closure)
{
    struct request *request = closure;
    struct server *server = request->server;
    while (request) {
        int job = request->job;
        bool whole = true;
        if (request->route.page == ROUTE_EVENTS)
            whole = work_events(request);
        else
            answer_question(server->answers, &request->question, &request->reply);
        if (whole) {
            request->worked = true;
            server->mhd->MHD_resume_connection(request->connection); /* it may be gone from here */
        }
        pthread_mutex_lock(&server->lock);
        return_job_locked(server, job);
        request = next_locked(server);
        pthread_mutex_unlock(&server->lock);
    }
    return NULL;
}

/* Has a request answered that it cannot be worked at.  Its connection is suspended. */
static void refuse_work(struct request *request, const char *why)
{
    reply_error(&request->reply, 503, "%s", why);
    request->reply.retry_seconds = 1;
    request->worked = true;
    request->server->mhd->MHD_resume_connection(request->connection);
}

/* Has a thread make the reply, now or when there is a place, while the connection is suspended. */
static void start_job(struct request *request)
{
    struct server *server = request->server;
    pthread_t thread;
    pthread_attr_t attributes;
    server->mhd->MHD_suspend_connection(request->connection);
    pthread_mutex_lock(&server->lock);
    bool stopping = server->stopping;
    request->job = stopping ? -1 : take_job_locked(server, request->route.pid);
    bool waits = !stopping && request->job < 0;
    if (waits) {
        struct request **at = &server->waiting;
        while (*at)
            at = &(*at)->next;
        *at = request;
    }
    pthread_mutex_unlock(&server->lock);
    if (waits)
        return;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (stopping) {
        refuse_work(request, "memtop serve ends");
    } else if (pthread_create(&thread, &attributes, work, request) != 0) {
        pthread_mutex_lock(&server->lock);
        return_job_locked(server, request->job);
        pthread_mutex_unlock(&server->lock);
        refuse_work(request, "no thread can be started: try again");
    }
    pthread_attr_destroy(&attributes);
}

/* ----------------------------------------------------------------------------------- requests */

static const char *header(const struct request *request, const char *name)
{
    return request->server->mhd->MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND,
                                                             name);
}

/* Authorization: Bearer TOKEN, or Basic with any user and the token as the password. */
static bool has_token(const struct request *request)
{
    const struct mhd *mhd = request->server->mhd;
    const struct access *access = &request->server->options->access;
    const char *given = header(request, "Authorization");
    if (!given)
        return false;
    if (strncasecmp(given, "Bearer ", 7) == 0)
        return access_is_token(access, given + 7 + strspn(given + 7, " "));
    char *password = NULL;
    char *user = mhd->MHD_basic_auth_get_username_password(request->connection, &password);
    bool good = access_is_token(access, password);
    if (user)
        mhd->MHD_free(user);
    if (password)
        mhd->MHD_free(password);
    return good;
}

enum methods { METHOD_GET = 1, METHOD_POST = 2 };

static unsigned methods_of(const struct route *route)
{
    return route->page == ROUTE_GC || route->page == ROUTE_PURGE ? METHOD_POST
           : route->page == ROUTE_SYMBOL                         ? METHOD_GET | METHOD_POST
                                                                 : METHOD_GET;
}

/* Decides whether the request is let in, by its headers; if not, the reply says why. */
static void let_in(struct request *request, const char *method, const char *version)
{
    const struct access *access = &request->server->options->access;
    struct reply *reply = &request->reply;
    const char *host = header(request, "Host");
    const struct route *route = &request->route;
    bool get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    bool post = strcmp(method, "POST") == 0;
    unsigned methods = methods_of(route);
    bool wants_token = access->token[0] && route->page != ROUTE_HEALTH;
    bool acts = post || route->gc;
    if (!host && strcmp(version, "HTTP/1.0") != 0) {
        reply_line(reply, 400, "Bad Request: no Host");
    } else if (!access_host(access, host)) {
        reply_line(reply, 421, "this server is not called so: --allow-host NAME allows a name");
    } else if (!request->wrong &&
               !((get && methods & METHOD_GET) || (post && methods & METHOD_POST))) {
        reply_line(reply, 405, "Method Not Allowed");
        reply->allow = methods == METHOD_POST  ? "POST"
                       : methods == METHOD_GET ? "GET, HEAD"
                                               : "GET, HEAD, POST";
    } else if (wants_token && !has_token(request)) {
        reply_error(reply, 401, "Unauthorized: this server wants its token");
    } else if (request->wrong) {
        reply_error(reply, request->wrong, "%s", request->why);
    } else if (acts && access_cross_site(header(request, "Origin"),
                                         header(request, "Sec-Fetch-Site"), host)) {
        reply_error(reply, 403, "another site has asked for this");
    }
    request->question = (struct question){
        .route = route,
        .all = access->token[0] != '\0',
        .may_act = access->token[0] != '\0' && access->actions,
        .post = post,
        .accept = header(request, "Accept"),
        .host = host,
        .body = "",
        .wait = wait_for_client,
        .closure = request,
    };
}

static void *on_uri(void *closure, const char *uri, struct MHD_Connection *connection)
{
    struct request *request = calloc(1, sizeof *request);
    if (!request)
        return NULL;
    request->server = closure;
    request->connection = connection;
    request->uri = strdup(uri);
    request->wrong = 500;
    request->why = "out of memory";
    if (request->uri)
        request->wrong = route_parse(request->uri, &request->route, &request->why);
    return request;
}

static void on_completed(void *closure, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct request *request = *context;
    if (!request)
        return;
    client_bound(request, COME_NS);
    free(request->reply.bytes);
    free(request->body);
    free(request->uri);
    free(request);
    *context = NULL;
}

static void add_headers(const struct request *request, struct MHD_Response *response)
{
    const struct mhd *mhd = request->server->mhd;
    const struct reply *reply = &request->reply;
    char text[96];
    mhd->MHD_add_response_header(response, "Content-Type", reply->type);
    mhd->MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    mhd->MHD_add_response_header(response, "Cache-Control", "no-store");
    mhd->MHD_add_response_header(response, "Content-Security-Policy",
                                 "default-src 'none'; frame-ancestors 'none'; base-uri 'none'");
    if (reply->pprof_error)
        mhd->MHD_add_response_header(response, "X-Go-Pprof", "1");
    if (reply->allow)
        mhd->MHD_add_response_header(response, "Allow", reply->allow);
    if (reply->status == 401)
        mhd->MHD_add_response_header(response, "WWW-Authenticate", "Basic realm=\"memtop serve\"");
    if (reply->disposition[0]) {
        snprintf(text, sizeof text, "attachment; filename=\"%s\"", reply->disposition);
        mhd->MHD_add_response_header(response, "Content-Disposition", text);
    }
    if (reply->retry_seconds) {
        snprintf(text, sizeof text, "%u", reply->retry_seconds);
        mhd->MHD_add_response_header(response, "Retry-After", text);
    }
}

static enum MHD_Result send_reply(struct request *request)
{
    const struct mhd *mhd = request->server->mhd;
    struct reply *reply = &request->reply;
    struct MHD_Response *response =
        request->stream ? stream_response(request->stream)
                        : mhd->MHD_create_response_from_buffer(reply->size, reply->bytes,
                                                               MHD_RESPMEM_MUST_FREE);
    if (!response)
        return MHD_NO;
    reply->bytes = NULL; /* the response's from now on */
    add_headers(request, response);
    client_bound(request, request->stream ? 0 : TAKE_NS);
    enum MHD_Result result = mhd->MHD_queue_response(request->connection, reply->status, response);
    mhd->MHD_destroy_response(response);
    return result;
}

/* Keeps a piece of the body.  False: no memory. */
static bool take_body(struct request *request, const char *bytes, size_t size)
{
    if (request->body_size + size > BODY_BYTES) {
        if (!request->reply.status)
            reply_error(&request->reply, 413, "the body is too long");
        return true;
    }
    char *grown = realloc(request->body, request->body_size + size + 1);
    if (!grown)
        return false;
    memcpy(grown + request->body_size, bytes, size);
    request->body = grown;
    request->body_size += size;
    grown[request->body_size] = '\0';
    request->question.body = grown;
    return true;
}

/* Called first when a request's headers are there, then for pieces of its body, at last without
 * one; and again when its connection is resumed. */
static enum MHD_Result on_request(void *closure, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **context)
{
    struct request *request = *context;
    if (!request)
        return MHD_NO;
    if (!request->begun) {
        request->begun = true;
        let_in(request, method, version);
        return request->reply.status ? send_reply(request) : MHD_YES;
    }
    if (*upload_size) {
        bool good = take_body(request, upload, *upload_size);
        *upload_size = 0;
        return good ? MHD_YES : MHD_NO;
    }
    if (request->reply.status || request->worked)
        return send_reply(request);
    if (request->route.page == ROUTE_HEALTH) {
        answer_question(request->server->answers, &request->question, &request->reply);
        return send_reply(request);
    }
    client_bound(request, 0);
    start_job(request); /* whose thread may have done with the request by now */
    return MHD_YES;
}

/* ---------------------------------------------------------------------------------------- run */

/* libmicrohttpd's own messages are of clients' mistakes. */
static void ignore_message(void *closure, const char *format, va_list arguments)
{
}

static struct MHD_Daemon *start(struct server *server, int fd, const char *certificate,
                                const char *key)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)certificate},
                                   {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)key},
                                   {MHD_OPTION_END, 0, NULL}};
    if (certificate)
        flags |= MHD_USE_TLS;
    return server->mhd->MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER, ignore_message, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)SERVER_CONNECTIONS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEADER_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE_SECONDS, MHD_OPTION_URI_LOG_CALLBACK, on_uri, server,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, server, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_ARRAY,
        certificate ? tls : tls + 2, MHD_OPTION_END);
}

/* Until SIGTERM or SIGINT, which are blocked. */
static void wait_for_end(struct server *server, const sigset_t *signals)
{
    while (sigtimedwait(signals, NULL, &(struct timespec){1, 0}) < 0)
        clients_end_overdue(&server->clients);
    uint64_t one = 1;
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    struct request *waiting = server->waiting;
    server->waiting = NULL;
    pthread_mutex_unlock(&server->lock);
    while (waiting) {
        struct request *next = waiting->next;
        refuse_work(waiting, "memtop serve ends");
        waiting = next;
    }
    if (write(server->stop_fd, &one, sizeof one) < 0) /* cannot be full */
        return;
}

/* Waits for jobs, at most END_MS.  False: some are not done. */
static bool jobs_end(struct server *server)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += END_MS / 1000;
    pthread_mutex_lock(&server->lock);
    while (server->jobs > 0 &&
           pthread_cond_timedwait(&server->job_ended, &server->lock, &until) == 0)
        ;
    bool ended = server->jobs == 0;
    pthread_mutex_unlock(&server->lock);
    return ended;
}

static int serve(struct server *server, int fd, const char *address, const char *certificate,
                 const char *key, bool *given_up, char *error)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    struct MHD_Daemon *daemon = start(server, fd, certificate, key);
    if (!daemon) {
        close(fd);
        snprintf(error, VIEW_ERROR_SIZE,
                 certificate ? "the server could not be started: are certificate and key in PEM, "
                               "and do they belong together?"
                             : "the server could not be started");
        return EINVAL;
    }
    printf("%s://%s/\n", certificate ? "https" : "http", address);
    fflush(stdout);
    wait_for_end(server, &signals);
    *given_up = !jobs_end(server);
    if (!*given_up)
        server->mhd->MHD_stop_daemon(daemon); /* closes the socket too */
    return 0;
}

int server_run(const struct server_options *options, bool *given_up, char error[VIEW_ERROR_SIZE])
{
    const char *why;
    char address[LISTEN_TEXT_SIZE], *certificate = NULL, *key = NULL;
    struct server server = {
        .mhd = mhd_get(&why), .options = options, .clients = CLIENTS_NONE, .stop_fd = -1};
    int fd;
    *given_up = false;
    if (!server.mhd) {
        snprintf(error, VIEW_ERROR_SIZE, "%s", why);
        return ENOTSUP;
    }
    if (options->tls_certificate &&
        server.mhd->MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES) {
        snprintf(error, VIEW_ERROR_SIZE, "this libmicrohttpd has no TLS");
        return ENOTSUP;
    }
    int result = options->tls_certificate
                     ? listen_read_pem(options->tls_certificate, &certificate, error)
                     : 0;
    if (result == 0 && options->tls_certificate)
        result = listen_read_pem(options->tls_key, &key, error);
    if (result == 0)
        result =
            listen_open(options->listen, options->access.token[0] != '\0', &fd, address, error);
    if (result == 0) {
        for (int i = 0; i < SERVER_JOBS; i++)
            server.job_pids[i] = -1;
        pthread_mutex_init(&server.lock, NULL);
        pthread_cond_init(&server.job_ended, NULL);
        server.answers = answers_create(&options->makers);
        server.stop_fd = eventfd(0, EFD_CLOEXEC);
        if (server.answers && server.stop_fd >= 0) {
            result = serve(&server, fd, address, certificate, key, given_up, error);
        } else {
            result = ENOMEM;
            snprintf(error, VIEW_ERROR_SIZE, "out of memory");
        }
        if (!*given_up)
            answers_destroy(server.answers);
    }
    free(certificate);
    free(key);
    return result;
}
