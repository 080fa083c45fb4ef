/* terminals.h: for tests that need pseudo-terminals. */
#ifndef SPEC_TERMINALS_H
#define SPEC_TERMINALS_H

#include "check.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Whether there are any; where not, says what is skipped. */
static inline bool check_terminals(const char *skipped)
{
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), number;
    bool there = false;
    char path[32];

    if (master >= 0 && ioctl(master, TIOCGPTN, &number) == 0) {
        snprintf(path, sizeof(path), "/dev/pts/%d", number);
        there = access(path, F_OK) == 0;
    }
    if (master >= 0)
        close(master);
    if (!there)
        check_skip(skipped, "no pseudo-terminals (is devpts mounted?)");
    return there;
}

#endif
