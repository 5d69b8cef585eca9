/* oncall KIND: a program whose memory grows in one of the ways in which that of well-known programs
 * did, some 200 KB a second beside healthy traffic of the same functions, until it is killed.
 *
 *   connection  the way of an error closes the socket and forgets what was made for it
 *   reply       one command of many does not free the answer that it has sent
 *   nodes       a parser gives up in the middle, and what it has read so far with it
 *   retained    an object is given one reference more than anybody will give back
 *   pool        requests have pools, and a cache its entries, by one function; an aborted request
 *               keeps its pool
 *   transfer    of transfers that are led elsewhere the first handle is never cleaned up
 *   exception   what a parser has made when another of its functions throws
 *   properties  of a list only the first element is freed with the message that has it
 *   status      a string is put in the place of the last one
 *
 * Each unit of work is a function; it says "ready" after the first. */
#include "noinline.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <string>
#include <vector>

namespace
{

uint64_t state = 88172645463325252u;
unsigned draw(unsigned below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<unsigned>(state % below);
}

/* The compiler must not see what becomes of it. */
template <typename T> T *used(T *block)
{
    if (!block)
        abort();
    __asm__ volatile("" : "+r"(block) : : "memory");
    return block;
}

/* ---- connection ---- */

struct connection {
    int socket, state;
    char *read_buffer;
    connection *next_free;
    char peer[200];
};
connection *free_connections;

NOINLINE connection *conn_new(int socket)
{
    connection *made = free_connections;
    if (made)
        free_connections = made->next_free;
    else
        made = used(static_cast<connection *>(calloc(1, sizeof *made)));
    made->socket = socket;
    made->read_buffer = used(static_cast<char *>(calloc(1, 2048)));
    return made;
}

NOINLINE void conn_close(connection *closed)
{
    free(closed->read_buffer);
    closed->read_buffer = nullptr;
    closed->next_free = free_connections;
    free_connections = closed;
}

NOINLINE void accept_connections()
{
    connection *open[16];
    for (int i = 0; i < 16; i++) {
        open[i] = conn_new(i);
        snprintf(open[i]->read_buffer, 2048, "get key%u", draw(1000));
    }
    for (int i = 0; i < 16; i++)
        if (i % 8 != 0) /* else the peer has said something that no command is */
            conn_close(open[i]);
}

/* ---- reply ---- */

/* What all allocate by, and nobody wants to read about. */
NOINLINE void *zmalloc(size_t size)
{
    return used(malloc(size));
}

char *values[2000];

NOINLINE void set_command()
{
    char **value = &values[draw(2000)];
    size_t size = 20 + draw(400);
    free(*value);
    *value = static_cast<char *>(memset(zmalloc(size), 'v', size));
}

NOINLINE char *get_command()
{
    char *value = values[draw(2000)], *reply = static_cast<char *>(zmalloc(512));
    snprintf(reply, 512, "$%d", value ? value[0] : -1);
    return reply;
}

NOINLINE char *object_help_command()
{
    char *reply = static_cast<char *>(zmalloc(900));
    snprintf(reply, 900, "*%u", draw(9));
    return reply;
}

void serve_commands()
{
    for (int i = 0; i < 40; i++) {
        set_command();
        free(get_command());
        if (i % 8 == 0)
            object_help_command();
    }
}

/* ---- nodes ---- */

struct node {
    node *next, *child;
    char text[80];
};

NOINLINE node *new_node(const char *text)
{
    node *made = used(static_cast<node *>(calloc(1, sizeof *made)));
    snprintf(made->text, sizeof made->text, "%.60s", text);
    return made;
}

void free_nodes(node *list)
{
    while (list) {
        node *next = list->next;
        free_nodes(list->child);
        free(list);
        list = next;
    }
}

/* A list of lists.  None if there is what is no value. */
NOINLINE node *parse_array(const char *text)
{
    node *first = nullptr;
    for (; *text; text++) {
        if (*text == '!')
            return nullptr;
        node *item = new_node(text);
        item->child = *text == '[' ? new_node("[]") : nullptr;
        item->next = first;
        first = item;
    }
    return first;
}

void parse_documents()
{
    static node *kept[50];
    for (int i = 0; i < 12; i++) {
        node **slot = &kept[draw(50)];
        free_nodes(*slot);
        *slot = parse_array(i % 4 ? "1,2,[3],[4],5" : "1,2,[3],[4],5,[6],[7],!");
    }
}

/* ---- retained ---- */

struct object {
    int references;
    char text[250];
};

NOINLINE object *object_new(unsigned number)
{
    object *made = used(static_cast<object *>(malloc(sizeof *made)));
    made->references = 1;
    snprintf(made->text, sizeof made->text, "%u", number);
    return made;
}

object *retain(object *kept)
{
    kept->references++;
    return kept;
}

void release(object *kept)
{
    if (kept && --kept->references == 0)
        free(kept);
}

NOINLINE object *encode_value(unsigned number)
{
    object *text = object_new(number);
    return number % 4 ? text : retain(text); /* a large one has had a second look */
}

void encode_documents()
{
    static object *kept[500];
    for (int i = 0; i < 60; i++) {
        object **slot = &kept[draw(500)];
        release(*slot);
        *slot = encode_value(draw(1000));
    }
}

/* ---- pool ---- */

NOINLINE void *ngx_alloc(size_t size)
{
    return used(malloc(size));
}

NOINLINE void *create_request_pool()
{
    return memset(ngx_alloc(4096), 0, 4096);
}

NOINLINE void store_in_cache()
{
    static void *cache[1500];
    void **entry = &cache[draw(1500)];
    free(*entry);
    *entry = memset(ngx_alloc(4096), 1, 4096);
}

void handle_requests()
{
    for (unsigned i = 0; i < 16; i++) {
        void *pool = create_request_pool();
        store_in_cache();
        if (i != 0) /* whose client has gone away */
            free(pool);
    }
}

/* ---- transfer ---- */

struct handle {
    char *url;
    char state[1500];
};

NOINLINE handle *easy_init(const char *url)
{
    handle *made = used(static_cast<handle *>(calloc(1, sizeof *made)));
    made->url = used(strdup(url));
    return made;
}

NOINLINE void easy_cleanup(handle *done)
{
    free(done->url);
    free(done);
}

NOINLINE handle *follow(handle *)
{
    return easy_init("http://localhost/moved/to/another/place");
}

void transfer_files()
{
    for (int i = 0; i < 24; i++) {
        handle *transfer = easy_init("http://localhost/");
        if (i % 8 == 0)
            transfer = follow(transfer);
        easy_cleanup(transfer);
    }
}

/* ---- exception ---- */

struct mapping {
    std::string key;
    std::vector<std::string> values;
};

NOINLINE std::string scan_value(const char *text)
{
    if (*text == '!')
        throw std::runtime_error("no such tag");
    return std::string(100, *text);
}

NOINLINE mapping *load_mapping(const char *text)
{
    mapping *made = new mapping;
    made->key.assign(40, *text);
    for (; *text; text++)
        made->values.push_back(scan_value(text));
    return made;
}

void load_documents()
{
    for (int i = 0; i < 20; i++)
        try {
            delete used(load_mapping(i % 4 ? "abcdef" : "abcdefg!"));
        } catch (const std::runtime_error &) {
        }
}

/* ---- properties ---- */

struct property {
    property *next;
    int identifier;
    char name[150];
};

NOINLINE property *property_add(property *list, int identifier)
{
    property *made = used(static_cast<property *>(calloc(1, sizeof *made)));
    made->identifier = identifier;
    made->next = list;
    return made;
}

NOINLINE void publish(bool is_last_will)
{
    property *list = nullptr;
    for (int i = 0; i < 5; i++)
        list = property_add(list, i);
    while (list) {
        property *next = is_last_will ? nullptr : list->next;
        free(list);
        list = next;
    }
}

void publish_messages()
{
    for (int i = 0; i < 20; i++)
        publish(i % 4 == 0);
}

/* ---- status ---- */

NOINLINE char *xstrdup(const char *text)
{
    return used(strdup(text));
}

NOINLINE void status_replace(char **status)
{
    char text[500];
    snprintf(text, sizeof text, "%0400u", draw(1000));
    *status = xstrdup(text);
}

NOINLINE void redraw_line(char **line)
{
    char text[300];
    snprintf(text, sizeof text, "%0200u", draw(1000));
    free(*line);
    *line = xstrdup(text);
}

void redraw_screen()
{
    static char *status, *lines[200];
    for (int i = 0; i < 100; i++)
        redraw_line(&lines[draw(200)]);
    for (int i = 0; i < 8; i++)
        status_replace(&status);
}

const struct {
    const char *name;
    void (*work)();
} kinds[] = {
    {"connection", accept_connections}, {"reply", serve_commands},
    {"nodes", parse_documents},         {"retained", encode_documents},
    {"pool", handle_requests},          {"transfer", transfer_files},
    {"exception", load_documents},      {"properties", publish_messages},
    {"status", redraw_screen},
};

} // namespace

int main(int argc, char **argv)
{
    void (*work)() = nullptr;
    for (const auto &kind : kinds)
        if (argc > 1 && strcmp(argv[1], kind.name) == 0)
            work = kind.work;
    if (!work)
        return 2;
    timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (bool is_first = true;; is_first = false) {
        work();
        if (is_first) {
            puts("ready");
            fflush(stdout);
        }
        next.tv_nsec += 20000000;
        next.tv_sec += next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, nullptr);
    }
}
