/* Items of MEMDEBUG, KEY=VALUE each, as a command line gives them to be written into a file. */
#ifndef MEMTOP_SETTINGS_H
#define MEMTOP_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the library takes each of them, and a line of a file can hold it; else one line in
 * `complaint` says what is wrong with the first that is not so. */
#define SETTINGS_COMPLAINT_SIZE 600
bool settings_check(char *const settings[], size_t count, char complaint[SETTINGS_COMPLAINT_SIZE]);
/* MEMDEBUG's text, commas of values escaped; malloc'ed, NULL: no memory. */
char *settings_text(char *const settings[], size_t count);

#endif
