/* address.h: IPv4 addresses in arguments and answers, in network order. */
#ifndef AGENT_ADDRESS_H
#define AGENT_ADDRESS_H

#include "call.h"

/* Reads "10.0.2.15". Sets c->rc for anything else; NULL as `otherwise`: the argument has to be
 * there. */
uint32_t address_get(struct call *c, const char *name, const char *otherwise);
void address_answer(struct call *c, const char *name, uint32_t address);

#endif
