/* Operator new is refused in a child that was made by _Fork while another thread is inside dlopen,
 * so that the child finds the loader locked:
 *
 *   refused PLUGIN      whose constructor waits, by SLOW_TELL (slow_plugin.c)
 *
 * Says what the child has met. */
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <new>
#include <pthread.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

static void *open_it(void *path)
{
    return dlopen(static_cast<char *>(path), RTLD_NOW);
}

static int handled;

static void give_up()
{
    if (++handled == 3)
        std::set_new_handler(nullptr);
}

static int child()
{
    volatile size_t size = size_t(1) << 62;
    int met = 0;
    alarm(20);
    try {
        delete[] new char[size];
    } catch (const std::bad_alloc &) {
        met |= 1;
    }
    met |= ::operator new(size, std::nothrow) ? 0 : 2;
    std::set_new_handler(give_up);
    met |= ::operator new(size, std::nothrow) || handled != 3 ? 0 : 4;
    met |= ::operator new(size, std::align_val_t(64), std::nothrow) ? 0 : 8;
    return met;
}

int main(int argc, char **argv)
{
    int ends[2], status = 0;
    pthread_t opener;
    char byte;
    if (argc < 2 || pipe(ends) != 0)
        return 2;
    setenv("SLOW_TELL", std::to_string(ends[1]).c_str(), 1);
    pthread_create(&opener, nullptr, open_it, argv[1]);
    if (read(ends[0], &byte, 1) != 1)
        return 2;
    pid_t pid = _Fork(); /* which leaves the loader's locks as they are */
    if (pid == 0)
        _exit(child());
    waitpid(pid, &status, 0);
    std::printf("status %d\n", WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status));
    std::fflush(stdout);
    _exit(0);
}
