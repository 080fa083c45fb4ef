/* storm.c: signals every millisecond that make what they meet return EINTR. */
#include <lauxlib.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

#include "faults.h"

static _Atomic long signals;

static void on_signal(int sig)
{
    atomic_fetch_add(&signals, 1);
    if (sig == SIGALRM)
        raise(SIGUSR1);
}

/* faults.storm(true) begins, faults.storm(false) ends it and returns how many there were. */
int faults_lua_storm(lua_State *L)
{
    bool on = lua_toboolean(L, 1);
    struct itimerval timer = {.it_value.tv_usec = on ? 1000 : 0};
    struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART */

    timer.it_interval = timer.it_value;
    if (on)
        atomic_store(&signals, 0);
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    if (setitimer(ITIMER_REAL, &timer, NULL))
        return luaL_error(L, "no timer");
    lua_pushinteger(L, (lua_Integer)atomic_load(&signals));
    return 1;
}
