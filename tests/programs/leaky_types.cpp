// Loses C++ objects, each with what its containers hold, and waits: a list of ten numbers, a map
// with one string too long for its own room, and a plain struct of 64 bytes; a hundred of each.
#include <cstdio>
#include <cstring>
#include <list>
#include <map>
#include <string>
#include <unistd.h>

struct plain {
    char bytes[64];
};

static void *volatile last;

static __attribute__((noinline)) void leak_types()
{
    auto *list = new std::list<double>(10);
    last = list;
    auto *map = new std::map<int, std::string>;
    (*map)[1] = "longer than fits into the string itself";
    last = map;
    auto *one = new plain;
    memset(one->bytes, 1, sizeof one->bytes);
    last = one;
    last = nullptr;
}

static __attribute__((noinline)) void scrub()
{
    char area[16384];
    memset(area, 0, sizeof area);
    __asm__ volatile("" : : "r"(area) : "memory");
}

int main()
{
    for (int i = 0; i < 100; i++) {
        leak_types();
        scrub();
    }
    static char *kept = new char[600000]; // enough memory for memtop to look at
    printf("ready\n");
    fflush(stdout);
    sleep(600);
    return kept[0];
}
