/* SPDX-License-Identifier: Apache-2.0 */
/*
 * password.c - Argon2id, which takes tens of milliseconds and 64 MiB by intent: on threads, and
 * only so many at once.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "gateway/auth.h"

#define WAITING_MAX 64

struct password_work {
    struct request *r;
    password_fn done;
    char *password;
    char hash[PASSWORD_HASH_SIZE];
    bool ok;
};

static unsigned n_waiting;

static void make(void *arg)
{
    struct password_work *w = arg;
    w->ok = crypto_pwhash_str(w->hash, w->password, strlen(w->password),
                crypto_pwhash_OPSLIMIT_INTERACTIVE, crypto_pwhash_MEMLIMIT_INTERACTIVE) == 0;
}

/* Nobody's password takes as long as somebody's wrong one: making a hash costs what checking does.
 */
static void verify(void *arg)
{
    struct password_work *w = arg;
    if (w->hash[0] == '\0')
        make(w), w->ok = false;
    else
        w->ok = crypto_pwhash_str_verify(w->hash, w->password, strlen(w->password)) == 0;
}

static void finished(void *arg)
{
    struct password_work *w = arg;
    n_waiting--;
    sodium_memzero(w->password, strlen(w->password));
    free(w->password);
    w->done(w->r, w->ok, w->hash);
    free(w);
}

static void start(
    struct request *r, const char *password, const char *hash, loop_fn work, password_fn done)
{
    if (n_waiting == WAITING_MAX) {
        metric_add(&r->gw->metrics.logins_full, 1);
        answer_header(r, "retry-after:", "1");
        answer_error(r, 503, "Too many logins at once.", "Try again in a moment.");
        return;
    }
    n_waiting++;
    struct password_work *w = mem_alloc(sizeof(*w));
    w->r = r;
    w->done = done;
    w->password = mem_strdup(password);
    snprintf(w->hash, sizeof(w->hash), "%s", hash);
    loop_work(r->gw->loop, work, finished, w);
}

void password_verify(struct request *r, const char *password, const char *hash, password_fn done)
{
    start(r, password, hash != NULL ? hash : "", verify, done);
}

void password_hash(struct request *r, const char *password, password_fn done)
{
    start(r, password, "", make, done);
}
