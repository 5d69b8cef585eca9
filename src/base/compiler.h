/* Attributes, named for what they tell a reader.  Nothing else belongs here. */
#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H

#define EXPORT __attribute__((visibility("default")))
#define HOT __attribute__((hot))
#define COLD __attribute__((cold, noinline))
#define NOINLINE __attribute__((noinline))
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define UNUSED __attribute__((unused))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
/* Initial-exec: a thread-local of ours must not be allocated by the heap that we watch. */
#define THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))
/* Code that reads memory it does not own (stacks, other people's data). */
#define NO_SANITIZE __attribute__((no_sanitize("address", "undefined")))

#define ARRAY_LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
