/* slirp_library.c: see slirp_library.h. Empty where libslirp's headers were not there. */
#ifdef LUNIK_SLIRP
#include <dlfcn.h>
#include <pthread.h>

#include "slirp_library.h"

#define SONAME "libslirp.so.0"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct slirp_library library;
static char reason[160]; /* empty: it is loaded */

void slirp_enter(void)
{
    pthread_mutex_lock(&lock);
}

void slirp_leave(void)
{
    pthread_mutex_unlock(&lock);
}

/* The library stays, as it may have threads and handlers of its own. */
static void load(void)
{
    void *handle = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    /* Its text is of this thread. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    const char *missing = handle ? NULL : dlerror();

#define SLIRP_LOAD(name)                                                                           \
    if (!missing && !(library.name = dlsym(handle, "slirp_" #name)))                               \
        missing = "slirp_" #name " is missing";
    SLIRP_FUNCTIONS(SLIRP_LOAD)
#undef SLIRP_LOAD
    snprintf(reason, sizeof(reason), "%s", missing ? missing : "");
}

const struct slirp_library *slirp_library(lunik_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load);
    if (!*reason)
        return &library;
    lunik_fail(err, LUNIK_E_UNSUPPORTED, "can't load %s: %s", SONAME, reason);
    return NULL;
}
#endif
