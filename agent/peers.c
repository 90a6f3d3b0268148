/* SPDX-License-Identifier: Apache-2.0 */
/* A list, and one question to the gateway at a time. */
#include "agent/peers.h"

#include <stdlib.h>
#include <string.h>

#include "agent/http.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/strbuf.h"

#define ASK_TIMEOUT_MS 10000

struct peers {
    struct loop *loop;
    char *url, *token;
    json_t *workers;        /* texts, in random order */
    size_t n_tried;         /* since one has answered, or the list is new */
    struct http_call *call; /* NULL: nothing is asked */
};

static uint32_t dice(void)
{
    uint32_t n;
    rng_bytes(&n, sizeof(n));
    return n;
}

static void take_list(struct peers *p, const json_t *workers)
{
    size_t i;
    json_t *worker;
    json_array_clear(p->workers);
    json_array_foreach(workers, i, worker)
    {
        if (json_is_string(worker))
            json_array_insert(p->workers, dice() % (json_array_size(p->workers) + 1), worker);
    }
    p->n_tried = 0;
}

struct peers *peers_new(struct loop *l, const struct peers_conf *conf)
{
    struct peers *p = mem_alloc(sizeof(*p));
    struct strbuf url;
    strbuf_init(&url);
    strbuf_addf(&url, "%s%s", conf->gateway_url, PEERS_MANIFEST_PATH);
    *p = (struct peers){.loop = l,
        .url = strbuf_detach(&url),
        .token = mem_strdup(conf->token),
        .workers = json_array()};
    take_list(p, conf->workers);
    return p;
}

void peers_free(struct peers *p)
{
    if (p == NULL)
        return;
    if (p->call != NULL)
        http_cancel(p->call);
    json_decref(p->workers);
    free(p->url);
    free(p->token);
    free(p);
}

/* ---- asking the gateway ---- */

static void on_answer(void *arg, const struct http_answer *a)
{
    struct peers *p = arg;
    p->call = NULL;
    p->n_tried = 0; /* whatever it says: the next question comes after the next round */
    if (a->code != ERR_OK || a->status != 200) {
        log_info("the gateway names no workers, the old ones are tried again status=%d why=%s",
            a->status, LOG_Q(a->why));
        return;
    }
    json_t *manifest = json_loadb(a->body, a->n, 0, NULL);
    const json_t *workers = json_object_get(manifest, "workers");
    if (json_is_array(workers))
        take_list(p, workers);
    log_info("the gateway names workers n=%zu", json_array_size(p->workers));
    json_decref(manifest);
}

static void ask(struct peers *p)
{
    const char *const headers[] = {
        "Coder-Session-Token", p->token, "Accept", "application/json", NULL};
    const struct http_request request = {.method = "GET",
        .url = p->url,
        .headers = headers,
        .timeout_ms = ASK_TIMEOUT_MS,
        .bytes_max = PEERS_ANSWER_MAX,
        .done = on_answer,
        .arg = p};
    if (p->call == NULL)
        p->call = http_start(p->loop, &request);
}

/* ---- picking ---- */

enum err peers_pick(struct peers *p, const char *avoid, char **ret_url, struct errctx *ctx)
{
    size_t n = json_array_size(p->workers);
    if (p->n_tried++ >= n)
        ask(p);
    if (n == 0)
        return err_set(ctx, ERR_UNAVAILABLE,
            "the gateway knows no worker that serves agents of other machines (agent_listen)");
    const char *url = json_string_value(json_array_get(p->workers, p->n_tried % n));
    if (n > 1 && avoid != NULL && strcmp(url, avoid) == 0)
        url = json_string_value(json_array_get(p->workers, (p->n_tried + 1) % n));
    *ret_url = mem_strdup(url);
    return ERR_OK;
}

void peers_found(struct peers *p)
{
    p->n_tried = 0;
}
