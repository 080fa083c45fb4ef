/* changes.h: the part of a machine's open transaction that folders below memory/ use. */
#ifndef CORE_CHANGES_H
#define CORE_CHANGES_H

#include "lunik_device.h"

/* Part of the memory core, which maintains depth and notifying. */
struct transaction {
    unsigned depth;                           /* of open transactions */
    bool notifying;                           /* listeners are being called */
    lunik_change *first_change, *last_change; /* noted in the open transaction */
};

/* Commits the changes noted in the transaction, oldest first. */
void changes_commit(struct transaction *t);
/* Undoes them, newest first; called before the topology is restored. */
void changes_undo(struct transaction *t);

#endif
