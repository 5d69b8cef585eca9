/* Which sanitizer a test is built with. */
#ifndef MEMDEBUG_TESTS_SANITIZERS_H
#define MEMDEBUG_TESTS_SANITIZERS_H

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#else
#define WITH_TSAN 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define WITH_ASAN 1
#else
#define WITH_ASAN 0
#endif
/* Has memory of its own beside the program's: no limit on address space is possible. */
#define SANITIZED (WITH_TSAN || WITH_ASAN)

#endif
