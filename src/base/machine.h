/* What the library asks of the machine that it is compiled for.  Each machine answers in a file of
 * its own, and so do the other parts that know one: what stands in NAME_x86_64.[chS] is what a
 * sibling NAME_aarch64 must do, by the contract in NAME.h or at the file's head.
 *
 *   OS_PAGE          bytes of a page of this system; a constant where there is only one size
 *   OS_ADDRESS_BITS  addresses that the system gives unasked are below 1 << that; likewise
 *   OS_ADDRESS_BITS_MAX
 *                    that of any system of this machine
 *   MACHINE_NAME     for people
 *   MACHINE_ELF      e_machine of its programs
 *   MACHINE_SLOT(t)  whether relocations of type t are slots that hold a function's address
 *   MACHINE_GLIBC    the first version of glibc's symbols there
 *   cpu_relax()      in a loop that waits for another CPU
 *   cpu_clear_vectors()
 *                    clears the vector registers that a call need not keep: what our copies of
 *                    tables have left there is no pointer of the program's
 *   machine_code_address(a)
 *                    the address in a return address as it lies on a stack
 */
#ifndef BASE_MACHINE_H
#define BASE_MACHINE_H

/* No system has smaller pages. */
#define OS_PAGE_MIN 4096u

#if defined(__x86_64__)
#include "base/machine_x86_64.h"
#elif defined(__aarch64__)
#include "base/machine_aarch64.h"
#endif

#endif
