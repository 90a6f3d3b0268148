/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_fuzz.c - the gateway's own decoders of what strangers send: queries, paths, chunked
 * bodies, framing, tokens, ID tokens, cursors, conditions, addresses, options in JSON bodies, and
 * text that becomes JSON.  The first byte chooses.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "gateway/address.h"
#include "gateway/chunked.h"
#include "gateway/etag.h"
#include "gateway/framing.h"
#include "gateway/json_out.h"
#include "gateway/jwt.h"
#include "gateway/own_options.h"
#include "gateway/own_problem.h"
#include "gateway/page.h"
#include "gateway/parameters.h"
#include "gateway/route.h"
#include "gateway/search.h"
#include "gateway/task_events.h"
#include "gateway/task_query.h"
#include "gateway/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void fuzz_search(const char *text)
{
    static const char *const keys[] = {"owner", "organization", "status", NULL};
    struct search s;
    struct search_error e;
    if (!search_parse(text, "owner", keys, &s, &e))
        return;
    for (size_t i = 0; i < s.n_terms; i++)
        if (strlen(s.terms[i].value) > strlen(text))
            abort();
}

static void fuzz_route(const char *text)
{
    const struct route *route;
    struct route_params params;
    if (route_find(METHOD_GET, text, &route, &params) != ROUTE_FOUND)
        return;
    for (size_t i = 0; i < params.n; i++)
        if (params.v[i].n == 0 || params.v[i].at + (size_t)params.v[i].n > strlen(text))
            abort();
}

static void fuzz_chunked(const char *data, size_t n)
{
    struct chunked c = {0};
    struct strbuf out;
    strbuf_init(&out);
    size_t half = n / 2;
    if (chunked_feed(&c, data, half, &out, 4096))
        chunked_feed(&c, data + half, n - half, &out, 4096);
    if (out.len > 4096 || out.len > n)
        abort();
    strbuf_done(&out);
}

/* However it is cut, it means the same. */
static void fuzz_framing(const unsigned char *data, size_t n)
{
    struct framing whole = {0}, cut = {0};
    size_t used, half = n / 2;
    enum framing_fault fault = framing_feed(&whole, data, n, &used);
    enum framing_fault again = framing_feed(&cut, data, half, &used);
    if (again == FRAMING_OK)
        again = framing_feed(&cut, data + half, n - half, &used);
    if (fault != again || (fault == FRAMING_OK && whole.state != cut.state) || used > n)
        abort();
}

static void fuzz_jwt(const char *text)
{
    json_t *jwks = json_pack("{s[{ssssss}]}", "keys", "kty", "RSA", "n", text, "e", "AQAB");
    json_t *claims = NULL;
    struct errctx ctx = {0};
    if (jwt_verify(text, jwks, &claims, &ctx) == ERR_OK)
        abort(); /* nobody has signed it */
    json_decref(jwks);
}

static void fuzz_tokens(const char *text)
{
    char buf[64];
    struct token t;
    if (token_from_cookies(text, buf, sizeof(buf)) ||
        token_from_authorization(text, buf, sizeof(buf)))
        token_parse(buf, &t);
    token_parse(text, &t);
}

/* What is written is read back the same. */
static void fuzz_json(const char *text, size_t n)
{
    if (!text_is_utf8(text, n))
        return;
    struct strbuf out;
    strbuf_init(&out);
    json_open(&out, '[');
    json_textn(&out, text, n);
    json_close(&out, ']');
    json_t *read = json_loadb(out.s, out.len, 0, NULL);
    const char *back = json_string_value(json_array_get(read, 0));
    if (back == NULL || strlen(back) != n || memcmp(back, text, n) != 0)
        abort();
    json_decref(read);
    strbuf_done(&out);
}

/* The parts are ended by NULs, as requests have them.  A list's cursor is one of that list. */
static void fuzz_task_query(const char *query, size_t n)
{
    struct task_query q, again;
    struct task_query_error e;
    char cursor[TASK_CURSOR_SIZE], with[TASK_CURSOR_SIZE + 8];
    if (n == 0 || query[n - 1] != '\0' || !task_query_parse(query, n, &q, &e) || q.has_cursor)
        return;
    const struct task_place place = {.key = 7, .created_us = 8};
    task_cursor_format(&q, &place, cursor);
    snprintf(with, sizeof(with), "cursor=%s", cursor);
    if (q.hash == 0 && q.order == ORDER_CREATED &&
        (!task_query_parse(with, strlen(with) + 1, &again, &e) || again.after.key != 7))
        abort();
}

/* What is read is written the same. */
static void fuzz_cursors(const char *text)
{
    struct task_cursor c, again;
    char id[TASK_EVENT_ID_SIZE];
    if (!task_cursor_read(text, &c))
        return;
    task_cursor_write(&c, id);
    if (!task_cursor_read(id, &again) || again.message != c.message ||
        again.job_line != c.job_line || again.agent_line != c.agent_line)
        abort();
}

/* A list that names everything is "*"; what is quoted in it is not half of a tag. */
static void fuzz_etags(const char *text)
{
    int64_t numbers[2];
    char cursor[PAGE_CURSOR_SIZE];
    (void)etag_list_has(text, "0123456789abcdef", NULL);
    (void)etag_list_has(text, "0123456789abcdef", "fedcba9876543210");
    if (!page_cursor_parse(text, 'x', numbers, 2))
        return;
    page_cursor_format('x', numbers, 2, cursor);
    if (!page_cursor_parse(cursor, 'x', numbers, 2))
        abort();
}

static void fuzz_addresses(const char *text)
{
    struct address a, again;
    struct address_nets nets;
    char shown[ADDRESS_TEXT_SIZE];
    if (address_parse(text, strlen(text), &a)) {
        address_format(&a, shown);
        if (!address_parse(shown, strlen(shown), &again) || memcmp(&a, &again, sizeof(a)) != 0)
            abort();
    }
    if (address_nets_parse(text, &nets))
        (void)address_nets_have(&nets, &(struct address){{0}});
    address_nets_parse("0.0.0.0/0, ::/0", &nets);
    (void)address_of_client(&nets, &(struct address){{0}}, text);
}

static void fuzz_body(const char *text, size_t n)
{
    struct task_options o;
    struct own_problem p = {0};
    struct parameters_json given;
    json_t *body = json_loadb(text, n, 0, NULL);
    if (json_is_object(body) && own_options_read(body, &o, &p) && strlen(o.display_name) > n)
        abort();
    if (body != NULL)
        (void)parameters_from_json(body, &given);
    json_decref(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    scoped_free char *text = mem_strndup((const char *)data + 1, n - 1);
    switch (data[0] % 12) {
    case 0:
        fuzz_search(text);
        break;
    case 1:
        fuzz_route(text);
        break;
    case 2:
        fuzz_chunked((const char *)data + 1, n - 1);
        break;
    case 3:
        fuzz_tokens(text);
        break;
    case 4:
        fuzz_framing(data + 1, n - 1);
        break;
    case 5:
        fuzz_jwt(text);
        break;
    case 6:
        fuzz_task_query((const char *)data + 1, n - 1);
        break;
    case 7:
        fuzz_cursors(text);
        break;
    case 8:
        fuzz_etags(text);
        break;
    case 9:
        fuzz_addresses(text);
        break;
    case 10:
        fuzz_body(text, strlen(text));
        break;
    default:
        fuzz_json(text, strlen(text));
        break;
    }
    return 0;
}
