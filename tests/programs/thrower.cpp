/* A C++ extension module of Python: importing it throws and catches 20,000 times.  Declares what it
 * needs of Python's stable ABI, so that Python's headers are not needed. */
#include <stdexcept>
#include <string>

struct _object;
struct ModuleDef { /* PyModuleDef */
    long refcount;
    void *type;
    void *(*init)();
    long index;
    void *copy;
    const char *name, *doc;
    long size;
    void *methods, *slots, *traverse, *clear, *free;
};

extern "C" {
_object *PyModule_Create2(ModuleDef *definition, int api_version);
int PyModule_AddIntConstant(_object *module, const char *name, long value);
__attribute__((visibility("default"))) _object *PyInit_thrower(void);
}

static long caught;

__attribute__((noinline)) static void thrower(int depth)
{
    if (depth > 0)
        thrower(depth - 1);
    else
        throw std::runtime_error(std::string(64, 'x'));
    __asm__ volatile("");
}

_object *PyInit_thrower(void)
{
    for (int i = 0; i < 20000; i++)
        try {
            thrower(i % 10);
        } catch (const std::exception &) {
            caught++;
        }
    static ModuleDef definition;
    definition.refcount = 1;
    definition.name = "thrower";
    definition.size = -1;
    _object *module = PyModule_Create2(&definition, 1013);
    if (module != nullptr)
        PyModule_AddIntConstant(module, "caught", caught);
    return module;
}
