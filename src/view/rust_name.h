/* Names of Rust's functions, from both forms in which rustc mangles them: v0 (`_R…`, RFC 2603) and
 * the legacy one that looks like C++'s (`_ZN…17h<hash>E`).  Crates' hashes are left out, as rustc
 * does where it shows names to people.
 *
 * We have our own because no library with one is on a plain Debian, and libiberty's static one
 * follows back references without a limit, so that a name of 200 bytes costs gigabytes.  Names come
 * from files of the watched program, so nesting, steps and output are bounded here; a name that
 * goes beyond, or is damaged, is not demangled. */
#ifndef VIEW_RUST_NAME_H
#define VIEW_RUST_NAME_H

/* The demangled name, to be freed; NULL: it is not a sound name of Rust's, or there is no memory.
 * Any thread. */
char *rust_name(const char *mangled);

#endif
