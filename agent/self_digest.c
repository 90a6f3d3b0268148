/* SPDX-License-Identifier: Apache-2.0 */
/* self_digest.c - /proc/self/exe, block by block. */
#include "agent/self_digest.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

enum err self_digest(char ret_hex[static SELF_DIGEST_SIZE], struct errctx *ctx)
{
    unsigned char block[65536], hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state state;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(ctx, ERR_IO, "/proc/self/exe: %s", strerror(errno));
    crypto_hash_sha256_init(&state);
    ssize_t n;
    while ((n = read(fd, block, sizeof(block))) > 0)
        crypto_hash_sha256_update(&state, block, (size_t)n);
    int why = errno;
    close(fd);
    if (n < 0)
        return err_set(ctx, ERR_IO, "/proc/self/exe: %s", strerror(why));
    crypto_hash_sha256_final(&state, hash);
    sodium_bin2hex(ret_hex, SELF_DIGEST_SIZE, hash, sizeof(hash));
    return ERR_OK;
}
