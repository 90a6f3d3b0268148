/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing a worker: list, shuffle. */
#include "agent/peer.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/strbuf.h"
#include "core/base/vec.h"

#define SUFFIX    ".sock"
#define PEERS_MAX 256

struct peers {
    VEC(char *) urls;
};

static bool is_socket_name(const char *name)
{
    size_t n = strlen(name), suffix = strlen(SUFFIX);
    return name[0] != '.' && n > suffix && strcmp(name + n - suffix, SUFFIX) == 0;
}

static enum err list(const char *dir, struct peers *peers, struct errctx *ctx)
{
    DIR *d = opendir(dir);
    if (d == NULL)
        return err_set(ctx, ERR_UNAVAILABLE, "%s: %s", dir, strerror(errno));
    struct dirent *entry;
    while ((entry = readdir(d)) != NULL && peers->urls.n < PEERS_MAX) {
        if (!is_socket_name(entry->d_name))
            continue;
        struct strbuf url;
        strbuf_init(&url);
        strbuf_addf(&url, "ipc://%s/%s", dir, entry->d_name);
        *vec_push(&peers->urls) = strbuf_detach(&url);
    }
    closedir(d);
    return ERR_OK;
}

static void swap(char **a, char **b)
{
    char *c = *a;
    *a = *b;
    *b = c;
}

/* In random order, the one to avoid last. */
static void shuffle(struct peers *peers, const char *avoid)
{
    size_t n = peers->urls.n;
    for (size_t i = 0; avoid != NULL && i < n; i++)
        if (strcmp(peers->urls.v[i], avoid) == 0)
            swap(&peers->urls.v[i], &peers->urls.v[--n]); /* now out of what is shuffled */
    for (; n > 1; n--) {
        uint32_t dice;
        rng_bytes(&dice, sizeof(dice));
        swap(&peers->urls.v[dice % n], &peers->urls.v[n - 1]);
    }
}

static void free_all(struct peers *peers)
{
    for (size_t i = 0; i < peers->urls.n; i++)
        free(peers->urls.v[i]);
    vec_done(&peers->urls);
}

enum err peer_pick(const char *workers_dir, const char *avoid, char **ret_url, struct errctx *ctx)
{
    struct peers peers = {0};
    enum err e = list(workers_dir, &peers, ctx);
    if (e == ERR_OK && peers.urls.n == 0)
        e = err_set(ctx, ERR_UNAVAILABLE, "%s: no worker listens there", workers_dir);
    if (e == ERR_OK) {
        shuffle(&peers, avoid);
        *ret_url = steal(peers.urls.v[0]);
    }
    free_all(&peers);
    return e;
}
