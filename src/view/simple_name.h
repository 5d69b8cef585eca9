/* The short form of a demangled C++ or Rust name: without return type, arguments, template
 * arguments and qualifiers, as pprof shows names by default.  "std::vector<int, std::allocator<int>
 * >::push_back(int&&)" is "std::vector::push_back"; Rust's "<T as Trait>::f" keeps its brackets.
 * Full names make a table unreadable, and a narrow column would cut off the end that tells them
 * apart.  What is dropped is still in the mangled name. */
#ifndef VIEW_SIMPLE_NAME_H
#define VIEW_SIMPLE_NAME_H

#include <stddef.h>

/* Shortens in place.  A name that it does not understand, or has no memory for, stays as it is. */
void simple_name(char *name);
/* Takes out "(anonymous namespace)::": it says of a function no more than that it is static. */
void simple_name_drop_anonymous(char *name);

#endif
