/* SPDX-License-Identifier: Apache-2.0 */
/* api.c - one REST call: encode, exchange, decode, and turn a refusal into words. */
#include "cli/api.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cli/table.h"
#include "core/base/text.h"
#include "core/base/uuid.h"

/* Of a request that may be sent again. */
#define TRIES    4
#define PAUSE_MS 500

void api_add_escaped(struct strbuf *url, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (isalnum(*p) || strchr("-._~", *p) != NULL)
            strbuf_addch(url, (char)*p);
        else
            strbuf_addf(url, "%%%02X", *p);
    }
}

static enum err check_url(struct cli *cli)
{
    if (cli->url != NULL)
        return ERR_OK;
    enum err e = cli_fail(cli, ERR_CONFIG, "no gateway is known to speak to");
    cli_hint(cli, "run `stint login URL`, or in a clone of Stint: eval \"$(deploy/local/env)\"");
    return e;
}

enum err api_check_login(struct cli *cli)
{
    enum err e = check_url(cli);
    if (e != ERR_OK || cli->token != NULL)
        return e;
    e = cli_fail(cli, ERR_UNAUTHORIZED, "not logged in to %s", cli->url);
    cli_hint(cli, "run `stint login %s`", cli->url);
    return e;
}

/* ---- refusals ---- */

static const struct {
    long from, to;
    enum err code;
} codes_of_status[] = {
    {401, 401, ERR_UNAUTHORIZED},
    {403, 403, ERR_FORBIDDEN   },
    {404, 404, ERR_NOT_FOUND   },
    {409, 409, ERR_CONFLICT    },
    {413, 413, ERR_TOO_LARGE   },
    {429, 429, ERR_FULL        },
    {400, 499, ERR_INVALID     },
    {502, 503, ERR_UNAVAILABLE },
    {504, 504, ERR_TIMEOUT     },
    {507, 507, ERR_NO_SPACE    },
};

static enum err code_of_status(long status)
{
    for (size_t i = 0; i < COUNT(codes_of_status); i++)
        if (status >= codes_of_status[i].from && status <= codes_of_status[i].to)
            return codes_of_status[i].code;
    return ERR_FAILED;
}

static void hint_for_status(struct cli *cli, long status)
{
    if (status == 401)
        cli_hint(cli, "run `stint login %s`", cli->url);
    else if (status == 429)
        cli_hint(cli, "wait a minute, then try again");
    else if (status == 502 || status == 503 || status == 504)
        cli_hint(cli, "try again in a moment; the gateway's log says more");
}

/* Text of a server, one line, fit for a terminal. */
static char *clean(const char *text)
{
    struct strbuf b;
    strbuf_init(&b);
    text_add_sanitized(&b, text);
    return strbuf_detach(&b);
}

static void add_details(struct cli *cli, const json_t *answer)
{
    const char *detail = table_string(answer, "detail");
    if (detail[0] != '\0' && strcmp(detail, table_string(answer, "title")) != 0) {
        scoped_free char *text = clean(detail);
        cli_detail(cli, "%s", text);
    }
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(answer, "validations"), i, row)
    {
        scoped_free char *field = clean(table_string(row, "field"));
        scoped_free char *text = clean(table_string(row, "detail"));
        cli_detail(cli, "%s: %s", field, text);
    }
}

static enum err refuse(struct cli *cli, long status, const json_t *answer)
{
    const char *message = table_string(answer, "message");
    if (message[0] == '\0')
        message = table_string(answer, "title"); /* problem+json */
    enum err e = code_of_status(status);
    if (message[0] != '\0') {
        scoped_free char *text = clean(message);
        (void)cli_fail(cli, e, "%s", text);
    } else {
        (void)cli_fail(cli, e, "%s answered with status %ld and no explanation", cli->url, status);
        cli_detail(cli, "Is this the address of a Stint gateway?");
    }
    add_details(cli, answer);
    hint_for_status(cli, status);
    cli->http_status = status;
    return e;
}

/* ---- the exchange ---- */

enum err api_unreachable(struct cli *cli, enum err code, const char *cause)
{
    (void)cli_fail(cli, code, "no answer from %s (address from %s)", cli->url,
        cli->url_origin != NULL ? cli->url_origin : "the command line");
    cli_detail(cli, "%s", cause);
    cli_hint(cli, "is the gateway running? On this machine it is started by deploy/local/up");
    return code;
}

enum err api_refused(struct cli *cli, const struct http_reply *reply)
{
    json_t *answer = json_loadb(reply->body.s, reply->body.len, JSON_DECODE_ANY, NULL);
    enum err e = refuse(cli, reply->status, answer);
    json_decref(answer);
    return e;
}

static enum err decode(struct cli *cli, const struct http_reply *reply, json_t **ret)
{
    json_error_t error;
    json_t *answer = reply->body.len == 0
                         ? json_null()
                         : json_loadb(reply->body.s, reply->body.len, JSON_DECODE_ANY, &error);
    if (reply->status < 200 || reply->status > 299) {
        json_decref(answer);
        return api_refused(cli, reply);
    }
    if (answer == NULL) {
        (void)cli_fail(cli, ERR_FAILED, "%s answered with something that is not JSON", cli->url);
        cli_detail(cli, "%s", error.text);
        cli_hint(cli, "check the address: is this a Stint gateway?");
        return cli->code;
    }
    if (ret != NULL)
        *ret = answer;
    else
        json_decref(answer);
    return ERR_OK;
}

static enum err exchange(
    struct cli *cli, const char *path, struct http_request *request, json_t **ret)
{
    struct http_reply reply = {0};
    struct strbuf url;
    struct errctx ctx = {0};
    strbuf_init(&url);
    strbuf_init(&reply.body);
    strbuf_addf(&url, "%s%s", cli->url, path);
    request->url = url.s;
    enum err e = cli->http->exchange(cli->http, request, &reply, &ctx);
    cli->has_answered = cli->has_answered || e == ERR_OK;
    e = e == ERR_OK ? decode(cli, &reply, ret) : api_unreachable(cli, e, ctx.text);
    http_reply_done(&reply);
    strbuf_done(&url);
    return e;
}

static enum err call(struct cli *cli, const char *method, const char *path, const json_t *body,
    const char *token, const char *key, json_t **ret)
{
    struct http_request request = {.method = method, .token = token, .idempotency_key = key};
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (text != NULL) {
        request.body = text;
        request.body_bytes = strlen(text);
        request.body_type = "application/json";
    }
    enum err e = exchange(cli, path, &request, ret);
    if (text != NULL)
        explicit_bzero(text, strlen(text)); /* it may hold a password */
    free(text);
    return e;
}

enum err api_call(
    struct cli *cli, const char *method, const char *path, const json_t *body, json_t **ret)
{
    enum err e = api_check_login(cli);
    return e == ERR_OK ? call(cli, method, path, body, cli->token, NULL, ret) : e;
}

enum err api_post_once(struct cli *cli, const char *path, const json_t *body, json_t **ret)
{
    struct uuid id = uuid_random();
    const struct uuid_str key = uuid_format(&id);
    enum err e = api_check_login(cli);
    for (int i = 1; e == ERR_OK; i++) {
        e = call(cli, "POST", path, body, cli->token, key.s, ret);
        if ((e != ERR_UNAVAILABLE && e != ERR_TIMEOUT) || i == TRIES)
            return e;
        cli_forgive(cli);
        cli->wait_ms(cli, i * PAUSE_MS);
        e = ERR_OK;
    }
    return e;
}

enum err api_call_anonymous(
    struct cli *cli, const char *method, const char *path, const json_t *body, json_t **ret)
{
    enum err e = check_url(cli);
    return e == ERR_OK ? call(cli, method, path, body, NULL, NULL, ret) : e;
}

enum err api_upload(
    struct cli *cli, const char *path, const char *type, const void *data, size_t n, json_t **ret)
{
    enum err e = api_check_login(cli);
    if (e != ERR_OK)
        return e;
    struct http_request request = {
        .method = "POST", .token = cli->token, .body_type = type, .body = data, .body_bytes = n};
    return exchange(cli, path, &request, ret);
}

enum err api_download(struct cli *cli, const char *path, struct strbuf *out)
{
    struct http_request request = {.method = "GET", .token = cli->token};
    struct http_reply reply = {0};
    struct strbuf url;
    struct errctx ctx = {0};
    enum err e = api_check_login(cli);
    if (e != ERR_OK)
        return e;
    strbuf_init(&url);
    strbuf_init(&reply.body);
    strbuf_addf(&url, "%s%s", cli->url, path);
    request.url = url.s;
    e = cli->http->exchange(cli->http, &request, &reply, &ctx);
    if (e != ERR_OK)
        e = api_unreachable(cli, e, ctx.text);
    else if (reply.status != 200)
        e = api_refused(cli, &reply);
    else
        strbuf_add(out, reply.body.s, reply.body.len);
    http_reply_done(&reply);
    strbuf_done(&url);
    return e;
}
