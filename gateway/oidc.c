/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oidc.c - talking to the provider.
 *
 *   GET  <issuer>/.well-known/openid-configuration     what there is
 *   GET  <jwks_uri>                                    its keys
 *   POST <token_endpoint> code, verifier               an ID token, checked by jwt.c
 */
#include "gateway/oidc.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "gateway/fetch.h"
#include "gateway/jwt.h"

#define KNOWN_MS     (60 * 60 * 1000)
#define KEYS_MIN_MS  10000 /* between two looks for new keys */
#define DISCOVERY    "/.well-known/openid-configuration"
#define AWAY         "The OpenID Connect provider cannot be used."
#define NOT_VERIFIED "Failed to verify OIDC token."

struct oidc {
    struct gateway *gw;
    char *secret; /* NULL: a public client */
    char *callback_url;
    /* Learnt. */
    json_t *discovery, *keys;
    bool secret_in_form;
    int64_t known_until_mono_ms, keys_at_mono_ms;
};

/* ---- boot ---- */

static bool is_loopback(const char *url)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost", "[::1]"};
    if (strncmp(url, "http://", 7) != 0)
        return false;
    for (size_t i = 0; i < COUNT(hosts); i++) {
        size_t n = strlen(hosts[i]);
        if (strncmp(url + 7, hosts[i], n) == 0 &&
            (url[7 + n] == ':' || url[7 + n] == '/' || url[7 + n] == '\0'))
            return true;
    }
    return false;
}

static bool is_safe(const char *url)
{
    return url != NULL && (strncmp(url, "https://", 8) == 0 || is_loopback(url));
}

enum err oidc_new(struct gateway *gw, struct oidc **ret_oidc, struct errctx *ctx)
{
    const struct gateway_conf *conf = &gw->conf;
    *ret_oidc = NULL;
    if (conf->oidc_issuer_url == NULL || conf->oidc_issuer_url[0] == '\0')
        return ERR_OK;
    if (!is_safe(conf->oidc_issuer_url))
        return err_set(ctx, ERR_CONFIG,
            "--oidc-issuer-url \"%s\" must begin with https:// (or be on this host)",
            conf->oidc_issuer_url);
    if (conf->oidc_client_id == NULL || conf->oidc_client_id[0] == '\0')
        return err_set(ctx, ERR_CONFIG, "--oidc-issuer-url needs --oidc-client-id");
    struct oidc *o = mem_alloc(sizeof(*o));
    o->gw = gw;
    if (conf->oidc_client_secret != NULL && conf->oidc_client_secret[0] != '\0')
        o->secret = mem_strdup(conf->oidc_client_secret);
    *ret_oidc = o;
    return ERR_OK;
}

void oidc_free(struct oidc *o)
{
    if (o == NULL)
        return;
    json_decref(o->discovery);
    json_decref(o->keys);
    free(o->secret);
    free(o->callback_url);
    free(o);
}

/* The access URL may be known only when the port is. */
static const char *callback_url(struct oidc *o)
{
    if (o->callback_url != NULL)
        return o->callback_url;
    const char *base = o->gw->conf.access_url;
    size_t n = strlen(base);
    o->callback_url = mem_alloc(n + sizeof(OIDC_CALLBACK));
    memcpy(o->callback_url, base, n);
    while (n > 0 && o->callback_url[n - 1] == '/')
        n--;
    memcpy(o->callback_url + n, OIDC_CALLBACK, sizeof(OIDC_CALLBACK));
    return o->callback_url;
}

/* ---- asking ---- */

static void away(struct request *r, const char *why)
{
    log_warn("the OIDC provider cannot be used issuer=%s error=%s", r->gw->conf.oidc_issuer_url,
        LOG_Q(why));
    answer_error(r, 502, AWAY, why);
}

static void ask(struct request *r, const struct fetch_question *q, fetch_fn done)
{
    if (fetch(r->gw, q, done, r))
        return;
    answer_header(r, "retry-after:", "1");
    answer_error(r, 503, "Too many logins at once.", "Try again in a moment.");
}

/* The object that a good answer is; NULL: it is none, and the client has been told. */
static json_t *object_of(struct request *r, int status, const struct strbuf *body, const char *what)
{
    char why[160];
    json_t *j = status == 200 ? json_loadb(body->s, body->len, 0, NULL) : NULL;
    if (json_is_object(j))
        return j;
    json_decref(j);
    if (status == 0)
        snprintf(why, sizeof(why), "%s: %.100s", what, body->s);
    else
        snprintf(why, sizeof(why), "%s: the answer is %s (%d)", what,
            status == 200 ? "no JSON object" : "an error", status);
    away(r, why);
    return NULL;
}

static const char *learnt(const struct oidc *o, const char *name)
{
    return json_string_value(json_object_get(o->discovery, name));
}

/* ---- knowing it ---- */

static void on_keys(void *arg, int status, const struct strbuf *body)
{
    struct request *r = arg;
    struct oidc *o = r->gw->oidc;
    json_t *keys = object_of(r, status, body, "its keys");
    if (keys == NULL)
        return;
    json_decref(o->keys);
    o->keys = keys;
    o->keys_at_mono_ms = clock_mono_ms();
    o->known_until_mono_ms = o->keys_at_mono_ms + KNOWN_MS;
    r->then(r);
}

static void ask_keys(struct request *r)
{
    struct fetch_question q = {.url = learnt(r->gw->oidc, "jwks_uri")};
    ask(r, &q, on_keys);
}

/* Of the ways to say who we are: Basic, unless the provider does not list it but the other one. */
static bool wants_secret_in_form(const json_t *discovery)
{
    const json_t *ways = json_object_get(discovery, "token_endpoint_auth_methods_supported"), *way;
    size_t i;
    bool basic = !json_is_array(ways), post = false;
    json_array_foreach(ways, i, way)
    {
        const char *name = json_string_value(way);
        basic |= name != NULL && strcmp(name, "client_secret_basic") == 0;
        post |= name != NULL && strcmp(name, "client_secret_post") == 0;
    }
    return post && !basic;
}

static const char *fault_of(const struct oidc *o, const json_t *discovery)
{
    static const char *const urls[] = {"authorization_endpoint", "token_endpoint", "jwks_uri"};
    const char *issuer = json_string_value(json_object_get(discovery, "issuer"));
    if (issuer == NULL || strcmp(issuer, o->gw->conf.oidc_issuer_url) != 0)
        return "it calls itself by another name than oidc_issuer_url";
    for (size_t i = 0; i < COUNT(urls); i++)
        if (!is_safe(json_string_value(json_object_get(discovery, urls[i]))))
            return "one of its URLs is missing, or not https";
    return NULL;
}

static void on_discovery(void *arg, int status, const struct strbuf *body)
{
    struct request *r = arg;
    struct oidc *o = r->gw->oidc;
    json_t *discovery = object_of(r, status, body, "discovery");
    if (discovery == NULL)
        return;
    const char *fault = fault_of(o, discovery);
    if (fault != NULL) {
        json_decref(discovery);
        away(r, fault);
        return;
    }
    json_decref(o->discovery);
    o->discovery = discovery;
    o->secret_in_form = wants_secret_in_form(discovery);
    ask_keys(r);
}

void oidc_know(struct request *r, request_fn then)
{
    const char *issuer = r->gw->conf.oidc_issuer_url;
    if (clock_mono_ms() < r->gw->oidc->known_until_mono_ms) {
        then(r);
        return;
    }
    struct strbuf url;
    strbuf_init(&url);
    size_t n = strlen(issuer);
    strbuf_add(&url, issuer, issuer[n - 1] == '/' ? n - 1 : n);
    strbuf_addstr(&url, DISCOVERY);
    r->then = then;
    ask(r, &(struct fetch_question){.url = url.s}, on_discovery);
    strbuf_done(&url);
}

/* ---- sending people there ---- */

/* PKCE's S256. */
static void add_challenge(const char *verifier, struct strbuf *out)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    char text[sodium_base64_ENCODED_LEN(
        crypto_hash_sha256_BYTES, sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
    crypto_hash_sha256(hash, (const unsigned char *)verifier, strlen(verifier));
    sodium_bin2base64(
        text, sizeof(text), hash, sizeof(hash), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    fetch_add_field(out, "code_challenge", text);
    fetch_add_field(out, "code_challenge_method", "S256");
}

void oidc_add_authorize_url(const struct oidc *o, const char *state, const char *nonce,
    const char *verifier, struct strbuf *out)
{
    const char *url = learnt(o, "authorization_endpoint");
    strbuf_addstr(out, url);
    if (strchr(url, '?') == NULL)
        strbuf_addch(out, '?');
    fetch_add_field(out, "response_type", "code");
    fetch_add_field(out, "client_id", o->gw->conf.oidc_client_id);
    fetch_add_field(out, "redirect_uri", callback_url(o->gw->oidc));
    fetch_add_field(out, "scope", o->gw->conf.oidc_scopes);
    fetch_add_field(out, "state", state);
    fetch_add_field(out, "nonce", nonce);
    add_challenge(verifier, out);
}

/* ---- the code, and what it is worth ---- */

struct exchange {
    struct request *r;
    oidc_claims_fn then;
    char *nonce, *token;
    bool has_new_keys;
};

static void exchange_free(struct exchange *x)
{
    free(x->nonce);
    free(x->token);
    free(x);
}

static void check_token(struct exchange *take_x);

static void on_new_keys(void *arg, int status, const struct strbuf *body)
{
    struct exchange *x = arg;
    struct oidc *o = x->r->gw->oidc;
    json_t *keys = object_of(x->r, status, body, "its keys");
    if (keys == NULL) {
        exchange_free(x);
        return;
    }
    json_decref(o->keys);
    o->keys = keys;
    check_token(x);
}

/* Providers change their keys: a token by one that is not known is reason to look, now and then. */
static bool look_for_new_keys(struct exchange *x)
{
    struct oidc *o = x->r->gw->oidc;
    if (x->has_new_keys || clock_mono_ms() - o->keys_at_mono_ms < KEYS_MIN_MS)
        return false;
    x->has_new_keys = true;
    o->keys_at_mono_ms = clock_mono_ms();
    struct fetch_question q = {.url = learnt(o, "jwks_uri")};
    return fetch(o->gw, &q, on_new_keys, x);
}

static void check_token(struct exchange *take_x)
{
    struct request *r = take_x->r;
    const struct gateway_conf *conf = &r->gw->conf;
    struct jwt_expected want = {
        conf->oidc_issuer_url, conf->oidc_client_id, take_x->nonce, clock_wall_us() / 1000000};
    struct errctx ctx = {0};
    json_t *claims = NULL;
    enum err e = jwt_verify(take_x->token, r->gw->oidc->keys, &claims, &ctx);
    if (e == ERR_NOT_FOUND && look_for_new_keys(take_x))
        return;
    if (e == ERR_OK)
        e = jwt_check(claims, &want, &ctx);
    oidc_claims_fn then = take_x->then;
    exchange_free(take_x);
    if (e == ERR_OK)
        then(r, claims);
    else
        answer_error(r, 401, NOT_VERIFIED, ctx.text);
    json_decref(claims);
}

static void on_token(void *arg, int status, const struct strbuf *body)
{
    struct exchange *x = arg;
    struct request *r = x->r;
    bool is_refused = status >= 400 && status < 500;
    json_t *answer = is_refused ? NULL : object_of(r, status, body, "its token");
    const char *token = json_string_value(json_object_get(answer, "id_token"));
    if (is_refused)
        answer_error(r, 401, "Failed to exchange the OIDC code.",
            "The provider refuses it: it is not its own, or has been used, or is too old.");
    else if (answer != NULL && token == NULL)
        answer_error(r, 502, AWAY, "there is no id_token in its answer");
    if (token != NULL)
        x->token = mem_strdup(token);
    json_decref(answer);
    if (x->token != NULL)
        check_token(x);
    else
        exchange_free(x);
}

/* Our name and secret: escaped, then as HTTP Basic (RFC 6749), or in the form. */
static void add_client(
    const struct oidc *o, struct strbuf *form, struct strbuf *user, struct strbuf *password)
{
    const char *id = o->gw->conf.oidc_client_id;
    if (o->secret == NULL || o->secret_in_form)
        fetch_add_field(form, "client_id", id);
    if (o->secret != NULL && o->secret_in_form)
        fetch_add_field(form, "client_secret", o->secret);
    if (o->secret == NULL || o->secret_in_form)
        return;
    fetch_add_escaped(user, id);
    fetch_add_escaped(password, o->secret);
}

void oidc_exchange(struct request *r, const char *code, const char *nonce, const char *verifier,
    oidc_claims_fn then)
{
    struct oidc *o = r->gw->oidc;
    struct strbuf form, user, password;
    strbuf_init(&form), strbuf_init(&user), strbuf_init(&password);
    fetch_add_field(&form, "grant_type", "authorization_code");
    fetch_add_field(&form, "code", code);
    fetch_add_field(&form, "redirect_uri", callback_url(o));
    fetch_add_field(&form, "code_verifier", verifier);
    add_client(o, &form, &user, &password);
    struct fetch_question q = {learnt(o, "token_endpoint"), form.s, user.len > 0 ? user.s : NULL,
        user.len > 0 ? password.s : NULL};
    struct exchange *x = mem_alloc(sizeof(*x));
    *x = (struct exchange){.r = r, .then = then, .nonce = mem_strdup(nonce)};
    if (!fetch(r->gw, &q, on_token, x)) {
        exchange_free(x);
        answer_header(r, "retry-after:", "1");
        answer_error(r, 503, "Too many logins at once.", "Try again in a moment.");
    }
    sodium_memzero(password.s, password.len);
    strbuf_done(&form), strbuf_done(&user), strbuf_done(&password);
}
