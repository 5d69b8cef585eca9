/* A library that an interpreter's wrappers are for (ctypes): documents that somebody has to free.
 */
#include "noinline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct element {
    struct element *next;
    char name[120];
};

struct document {
    struct element *first;
    char title[200];
};

struct document *parse_document(const char *text, int elements);
void free_document(struct document *document);

static NOINLINE struct element *add_element(struct element *next, const char *name)
{
    struct element *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    made->next = next;
    snprintf(made->name, sizeof made->name, "%s", name);
    return made;
}

struct document *parse_document(const char *text, int elements)
{
    struct document *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    snprintf(made->title, sizeof made->title, "%s", text);
    for (int i = 0; i < elements; i++)
        made->first = add_element(made->first, text);
    return made;
}

void free_document(struct document *document)
{
    while (document->first) {
        struct element *next = document->first->next;
        free(document->first);
        document->first = next;
    }
    free(document);
}
