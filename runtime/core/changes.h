/* changes.h: a machine's open transaction, as far as the rooms below memory/ know it. */
#ifndef CORE_CHANGES_H
#define CORE_CHANGES_H

#include "lunik_device.h"

/* In the memory core, which keeps the first two. */
struct transaction {
    unsigned depth;                           /* of open transactions */
    bool notifying;                           /* listeners are being called */
    lunik_change *first_change, *last_change; /* noted in the open transaction */
};

/* Carries out what was noted in the transaction, oldest first; or undoes it, newest first, before
 * the topology is put back. */
void changes_commit(struct transaction *t);
void changes_undo(struct transaction *t);

#endif
