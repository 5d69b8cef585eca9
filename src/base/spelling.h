/* How near a mistyped word is to the right ones. */
#ifndef BASE_SPELLING_H
#define BASE_SPELLING_H

#define SPELLING_MAX 32

/* Levenshtein distance; of each word the first SPELLING_MAX characters count. */
unsigned spelling_distance(const char *a, const char *b);

#endif
