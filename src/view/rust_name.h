/* Names of Rust's functions, out of both forms in which rustc mangles them: v0 (`_R…`, RFC 2603)
 * and the older one that looks like C++'s (`_ZN…17h<hash>E`).  Crates' hashes are left out, as
 * rustc does where it shows names to people.
 *
 * Ours, as nobody's can be used: no library with it is on a plain Debian, and libiberty's static
 * one follows back references without a limit, so that a name of 200 bytes costs gigabytes.  Names
 * come from the files of whoever is watched, so here nesting, steps and output are bounded; a name
 * beyond that, or damaged, is none. */
#ifndef VIEW_RUST_NAME_H
#define VIEW_RUST_NAME_H

/* The demangled name, to be freed; NULL: it is not Rust's, or there is no memory. */
char *rust_name(const char *mangled);

#endif
