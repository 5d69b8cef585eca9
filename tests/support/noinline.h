/* A function that keeps a frame of its own, for programs that know who allocates.  gcc also copies
 * functions for the arguments of one caller (noclone); clang has no such attribute. */
#ifndef TESTS_NOINLINE_H
#define TESTS_NOINLINE_H

#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif

#endif
