/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.c - the one door to libcurl.
 */
#include "gateway/fetch.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

/* Passwords are checked on the same few threads: a provider that hangs must leave some. */
#define RUNNING_MAX 2
#define WAITING_MAX 32

struct fetching {
    struct gateway *gw;
    struct list waiting;
    char *url, *form, *user, *password;
    fetch_fn done;
    void *arg;
    int status;
    struct strbuf body;
};

static unsigned n_running, n_waiting;
static struct list waiting = {&waiting, &waiting};

static char *copy_of(const char *text)
{
    return text != NULL ? mem_strdup(text) : NULL;
}

/* ---- on a thread ---- */

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
    struct fetching *f = arg;
    if (f->body.len + size * n > FETCH_BYTES_MAX)
        return 0; /* ends it */
    strbuf_add(&f->body, data, size * n);
    return size * n;
}

static void set_up(CURL *curl, struct fetching *f)
{
    curl_easy_setopt(curl, CURLOPT_URL, f->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)FETCH_SECONDS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "stint/" STINT_VERSION);
    if (f->form != NULL)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, f->form);
    if (f->user != NULL) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(curl, CURLOPT_USERNAME, f->user);
        curl_easy_setopt(curl, CURLOPT_PASSWORD, f->password);
    }
}

static void work(void *arg)
{
    struct fetching *f = arg;
    long status = 0;
    CURL *curl = curl_easy_init();
    struct curl_slist *accept = curl_slist_append(NULL, "Accept: application/json");
    if (curl == NULL || accept == NULL)
        mem_out();
    set_up(curl, f);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, accept);
    CURLcode code = curl_easy_perform(curl);
    if (code == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK) {
        strbuf_clear(&f->body);
        strbuf_addstr(&f->body, curl_easy_strerror(code));
    }
    f->status = (int)status;
    curl_slist_free_all(accept);
    curl_easy_cleanup(curl);
}

/* ---- on the loop's ---- */

static void on_done(void *arg);

static void run(struct fetching *f)
{
    n_running++;
    loop_work(f->gw->loop, work, on_done, f);
}

static void on_done(void *arg)
{
    struct fetching *f = arg;
    n_running--;
    if (n_waiting > 0) {
        n_waiting--;
        run(container_of(list_pop(&waiting), struct fetching, waiting));
    }
    f->done(f->arg, f->status, &f->body);
    free(f->url), free(f->form), free(f->user), free(f->password);
    strbuf_done(&f->body);
    free(f);
}

bool fetch(struct gateway *gw, const struct fetch_question *q, fetch_fn done, void *arg)
{
    if (n_running == RUNNING_MAX && n_waiting == WAITING_MAX)
        return false;
    struct fetching *f = mem_alloc(sizeof(*f));
    *f = (struct fetching){.gw = gw, .done = done, .arg = arg};
    f->url = copy_of(q->url);
    f->form = copy_of(q->form);
    f->user = copy_of(q->user);
    f->password = copy_of(q->password);
    strbuf_init(&f->body);
    if (n_running < RUNNING_MAX) {
        run(f);
    } else {
        n_waiting++;
        list_append(&waiting, &f->waiting);
    }
    return true;
}

void fetch_add_field(struct strbuf *b, const char *name, const char *value)
{
    if (b->len > 0 && b->s[b->len - 1] != '?')
        strbuf_addch(b, '&');
    strbuf_addf(b, "%s=", name);
    fetch_add_escaped(b, value);
}

void fetch_add_escaped(struct strbuf *b, const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        if (isalnum((unsigned char)*c) || strchr("-._~", *c) != NULL)
            strbuf_addch(b, *c);
        else
            strbuf_addf(b, "%%%02X", (unsigned char)*c);
}
