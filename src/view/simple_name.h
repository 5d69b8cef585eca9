/* The short form of a demangled C++ or Rust name: without return type, arguments, template
 * arguments and qualifiers, as pprof shows names by default.  "std::vector<int, std::allocator<int>
 * >::push_back( int&&)" is "std::vector::push_back"; Rust's "<T as Trait>::f" keeps the type that
 * it is of.  A table of full names is unreadable, and their distinctive end is what a narrow column
 * cuts off; the mangled name beside it keeps what is dropped here. */
#ifndef VIEW_SIMPLE_NAME_H
#define VIEW_SIMPLE_NAME_H

#include <stddef.h>

/* Shortens in place.  A name that this does not understand stays as it is. */
void simple_name(char *name);

#endif
