/* Names that rustc has made (from RFC 2603, from the standard library, from programs), and names
 * that nobody should have. */
#include "support/tap.h"

#include "view/rust_name.h"
#include "view/simple_name.h"

#include <string.h>

/* `expected` NULL: it is no name. */
static void check(const char *mangled, const char *expected)
{
    char *name = rust_name(mangled);
    bool same = name && expected ? strcmp(name, expected) == 0 : !name && !expected;
    if (!ok(same, "%.200s", mangled))
        tap_print("# got      %.400s\n# expected %.400s", name ? name : "-",
                  expected ? expected : "-");
    free(name);
}

static void test_paths(void)
{
    check("_RNvC6_123foo3bar", "123foo::bar");
    check("_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y",
          "utf8_idents::\xe1\x83\xa1\xe1\x83\x90\xe1\x83\xad\xe1\x83\x9b\xe1\x83\x94\xe1\x83\x9a"
          "\xe1\x83\x90\xe1\x83\x93_\xe1\x83\x92\xe1\x83\x94\xe1\x83\x9b\xe1\x83\xa0\xe1\x83\x98"
          "\xe1\x83\x94\xe1\x83\x9a\xe1\x83\x98_\xe1\x83\xa1\xe1\x83\x90\xe1\x83\x93\xe1\x83\x98"
          "\xe1\x83\x9a\xe1\x83\x98");
    check("_RNCNCNgCs6DXkGYLi8lr_2cc5spawn00B5_", "cc::spawn::{closure#0}::{closure#0}");
    check("_RNCINkXs25_NgCsbmNqQUJIY6D_4core5sliceINyB9_4IterhENuNgNoBb_4iter8iterator8Iterator9"
          "rpositionNCNgNpB9_6memchr7memrchrs_0E0Bb_",
          "<core::slice::Iter<u8> as core::iter::iterator::Iterator>::rposition::<core::slice::"
          "memchr::memrchr::{closure#1}>::{closure#0}");
    check("_RINbNbCskIICzLVPPb_5alloc5alloc8box_freeDINbNiB4_5boxed5FnBoxuEp6OutputuEL_ECs1iopQbu"
          "Biw2_3std",
          "alloc::alloc::box_free::<dyn alloc::boxed::FnBox<(), Output = ()>>");
    check("_RNvC7mycrate4main.llvm.1234567890", "mycrate::main");
    check("_RNSC7mycrate6vtable", "mycrate::{shim:vtable#0}");
}

static void test_types(void)
{
    check("_RMC0INtC8arrayvec8ArrayVechKj7b_E", "<arrayvec::ArrayVec<u8, 123>>");
    check("_RMCs4fqI2P2rA04_13const_genericINtB0_6SignedKanb_E", "<const_generic::Signed<-11>>");
    check("_RMCs4fqI2P2rA04_13const_genericINtB0_4BoolKb0_E", "<const_generic::Bool<false>>");
    check("_RMCs4fqI2P2rA04_13const_genericINtB0_4CharKc76_E", "<const_generic::Char<'v'>>");
    check("_RMCs4fqI2P2rA04_13const_genericINtB0_4CharKca_E", "<const_generic::Char<'\\n'>>");
    check("_RMCs4fqI2P2rA04_13const_genericINtB0_4CharKc2202_E",
          "<const_generic::Char<'\xe2\x88\x82'>>");
    check("_RMC1aINtC1a1AKo123456789abcdef01_E", "<a::A<0x123456789abcdef01>>");
    check("_RMC1aFG_RL0_hRL0_tEL_", NULL);
    check("_RMC1aFG_RL0_hQL0_tEj", "<for<'a> fn(&'a u8, &'a mut u16) -> usize>");
    check("_RMC1aFUKCPhOtEu", "<unsafe extern \"C\" fn(*const u8, *mut u16)>");
    check("_RMC1aTThEAtj5_SbzE", "<((u8,), [u16; 5], [bool], !)>");
    check("_RMC1aDG_INtC1b1TRL0_hEp1OuNtC1b4SendEL_",
          "<dyn for<'a> b::T<&'a u8, O = ()> + b::Send>");
}

static void test_legacy(void)
{
    check("_ZN4core3ptr13drop_in_place17h0123456789abcdefE", "core::ptr::drop_in_place");
    check("_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$3bar17h930b"
          "740aa94f1d3aE",
          "<Test + 'static as foo::Bar<Test>>::bar");
    check("_ZN3foo3bar17h05af221e174051e9E.llvm.9D1C9369", "foo::bar");
    check("_ZN1r11_$u10d7$est17hf6438a78301f9b29E", "r::\xe1\x83\x97"
                                                    "est");
    check("_ZN3foo3barEv", NULL); /* C++ */
    check("_ZN3foo17h0000000000000000E", NULL);
    check("_ZN3foo17h05af221e174051e9Ei", NULL);
    check("_ZN17h05af221e174051e9E", NULL);
    check("_ZN99foo17h05af221e174051e9E", NULL);
}

static void test_damaged(void)
{
    static const char *const wrong[] = {"",
                                        "_R",
                                        "_RN",
                                        "_RNv",
                                        "_RNvC",
                                        "_RNvC3ab",
                                        "_RNvB_1a",
                                        "_RMC0RB2_",
                                        "_RMC0B9_",
                                        "_R0NvC1a1b",
                                        "_RNvC1a1b!",
                                        "_RNvC1a99999999999999999999b",
                                        "_RMC1aKj",
                                        "_RMC1aINtC1a1AKcd800_E",
                                        "_RNvCu1_1a",
                                        "_RNvC1au9zzzzzzzzz",
                                        "_RNvCs99999999999999999999_1a1b",
                                        "_RMC1aRL9_h",
                                        "_RMC1aFGzzzzzzz_Eu",
                                        "_RNvC1a1bXYZ",
                                        "main",
                                        "R",
                                        "_Z3foov"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        check(wrong[i], NULL);
}

/* Up to 62. */
static size_t put_reference(char *at, size_t to)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return (size_t)sprintf(at, "B%c_", digits[to - 1]);
}

#define LEVELS 30
/* Each pair holds the one inside it twice: 200 bytes for 2^30 of text. */
static void test_expanding(void)
{
    static const char path[] = "_RMC1a", innermost[] = "TuuE";
    char name[sizeof path + LEVELS + sizeof innermost + LEVELS * sizeof "Bx_E"];
    char *at = stpcpy(name, path);
    memset(at, 'T', LEVELS);
    at = stpcpy(at + LEVELS, innermost);
    for (size_t level = LEVELS; level > 0; level--) {
        at += put_reference(at, strlen("MC1a") + level); /* where the pair inside begins */
        at = stpcpy(at, "E");
    }
    check(name, NULL);
    char flat[] = "_RMC1aTTuuEB4_E";
    check(flat, "<(((), ()), ((), ()))>");
    static char deep[200000];
    memset(deep, 'R', sizeof deep - 1);
    memcpy(deep, "_RMC1a", 6);
    deep[sizeof deep - 2] = 'u';
    check(deep, NULL);
    memset(deep, 'N', sizeof deep - 1);
    memcpy(deep, "_R", 2);
    check(deep, NULL);
}

static void test_simple(void)
{
    static const char *const names[][2] = {
        {"<[u8] as a::T<X>>::f::<Y<Z>>", "<[u8] as a::T>::f"},
        {"a::f::<b::C<u8>>::{closure#0}", "a::f::{closure#0}"},
        {"<fn(u8) -> b::C<u8> as a::T>::f", "<fn(u8) -> b::C as a::T>::f"},
        {"<<A<u8> as B<C>>::D as E>::f", "<<A as B>::D as E>::f"},
        {"<a::Map<u8>>::get::<str>", "<a::Map>::get"},
        {"core::str::<impl str>::trim", "core::str::trim"},
        {"core::ptr::drop_in_place<alloc::vec::Vec<u8>>", "core::ptr::drop_in_place"},
        {"<a::Map<u8>::get::<str>", "<a::Map<u8>::get::<str>"},
        {"a::f::<b>>", "a::f::<b>>"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char name[128];
        strcpy(name, names[i][0]);
        simple_name(name);
        if (!ok(strcmp(name, names[i][1]) == 0, "short: %s", names[i][0]))
            tap_print("# got %s", name);
    }
}

int main(void)
{
    test_paths();
    test_types();
    test_legacy();
    test_damaged();
    test_expanding();
    test_simple();
    return tap_done();
}
