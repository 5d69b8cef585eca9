/* Items of MEMDEBUG, KEY=VALUE each, that a command line gives to be written into a file. */
#ifndef MEMTOP_SETTINGS_H
#define MEMTOP_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the library takes each of them and a line of a file can hold it.  If not, `complaint`
 * says in one line what is wrong with the first such item. */
#define SETTINGS_COMPLAINT_SIZE 600
bool settings_check(char *const settings[], size_t count, char complaint[SETTINGS_COMPLAINT_SIZE]);
/* MEMDEBUG's text, with commas in values escaped; malloc'ed.  NULL: no memory. */
char *settings_text(char *const settings[], size_t count);

#endif
