/* sha256.h: SHA-256 at the processor's speed; SHA256Init() and SHA256Final() are libmd's. */
#ifndef RUNTIME_MEMORY_SHA256_H
#define RUNTIME_MEMORY_SHA256_H

#include <sha2.h>
#include <stdbool.h>
#include <stdint.h>

/* Does what SHA256Update() does. */
void sha256_update(SHA2_CTX *sha, const uint8_t *data, uint64_t size);

#endif
