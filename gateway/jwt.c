/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwt.c - the one door to libcrypto: checking signatures of ID tokens.
 */
#include "gateway/jwt.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"

#define RSA_BITS_MIN  2048
#define NUMBER_MAX    1024 /* bytes: an RSA key of 8192 bits */
#define COORDINATE    32
#define SKEW_S        60
#define SUBJECT_MAX   255
#define EXPIRES_S_MAX (INT64_C(1) << 40)

struct numbers {
    unsigned char v[NUMBER_MAX];
    size_t n;
};

static bool decode(const char *text, size_t n, unsigned char *buf, size_t size, size_t *ret_n)
{
    return sodium_base642bin(buf, size, text, n, NULL, ret_n, NULL,
               sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0;
}

/* ---- keys ---- */

static bool number_of(const json_t *key, const char *name, struct numbers *ret)
{
    const char *text = json_string_value(json_object_get(key, name));
    return text != NULL && decode(text, strlen(text), ret->v, sizeof(ret->v), &ret->n) &&
           ret->n > 0;
}

static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *bld)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (params == NULL || pctx == NULL || EVP_PKEY_fromdata_init(pctx) != 1 ||
        EVP_PKEY_fromdata(pctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(pctx);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *rsa_key(const json_t *jwk)
{
    struct numbers n, e;
    if (!number_of(jwk, "n", &n) || !number_of(jwk, "e", &e) || e.n > 8)
        return NULL;
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    BIGNUM *bn_n = BN_bin2bn(n.v, (int)n.n, NULL), *bn_e = BN_bin2bn(e.v, (int)e.n, NULL);
    EVP_PKEY *key = NULL;
    if (OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn_n) == 1 &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, bn_e) == 1)
        key = key_from("RSA", bld);
    BN_free(bn_n), BN_free(bn_e);
    OSSL_PARAM_BLD_free(bld);
    if (key != NULL && EVP_PKEY_get_bits(key) < RSA_BITS_MIN) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

static EVP_PKEY *ec_key(const json_t *jwk)
{
    struct numbers x, y;
    unsigned char point[1 + 2 * COORDINATE] = {4}; /* uncompressed */
    const char *curve = json_string_value(json_object_get(jwk, "crv"));
    if (curve == NULL || strcmp(curve, "P-256") != 0 || !number_of(jwk, "x", &x) ||
        !number_of(jwk, "y", &y) || x.n != COORDINATE || y.n != COORDINATE)
        return NULL;
    memcpy(point + 1, x.v, COORDINATE);
    memcpy(point + 1 + COORDINATE, y.v, COORDINATE);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)) == 1)
        key = key_from("EC", bld);
    OSSL_PARAM_BLD_free(bld);
    return key;
}

/* ---- signatures ---- */

/* r and s side by side -> what libcrypto reads. */
static int der_of(const unsigned char *raw, unsigned char **ret_der)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    ECDSA_SIG_set0(
        sig, BN_bin2bn(raw, COORDINATE, NULL), BN_bin2bn(raw + COORDINATE, COORDINATE, NULL));
    int n = i2d_ECDSA_SIG(sig, ret_der);
    ECDSA_SIG_free(sig);
    return n;
}

static bool is_signed(
    EVP_PKEY *key, const char *text, size_t n, const unsigned char *sig, size_t n_sig)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestVerify(md, sig, n_sig, (const unsigned char *)text, n) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

static bool is_signed_ec(
    EVP_PKEY *key, const char *text, size_t n, const unsigned char *sig, size_t n_sig)
{
    unsigned char *der = NULL;
    if (n_sig != (size_t)(2 * COORDINATE))
        return false;
    int n_der = der_of(sig, &der);
    bool ok = n_der > 0 && is_signed(key, text, n, der, (size_t)n_der);
    OPENSSL_free(der);
    return ok;
}

static const struct algorithm {
    const char *name, *key_type;
    EVP_PKEY *(*key)(const json_t *jwk);
    bool (*is_signed)(
        EVP_PKEY *key, const char *text, size_t n, const unsigned char *sig, size_t n_sig);
} algorithms[] = {
    {"RS256", "RSA", rsa_key, is_signed   },
    {"ES256", "EC",  ec_key,  is_signed_ec},
};

static bool says_otherwise(const json_t *jwk, const char *name, const char *wanted)
{
    const char *said = json_string_value(json_object_get(jwk, name));
    return said != NULL && strcmp(said, wanted) != 0;
}

/* Does the set's key fit what the token says of its own? */
static bool fits(const json_t *jwk, const struct algorithm *a, const char *kid)
{
    const char *type = json_string_value(json_object_get(jwk, "kty"));
    const char *id = json_string_value(json_object_get(jwk, "kid"));
    return type != NULL && strcmp(type, a->key_type) == 0 &&
           (kid == NULL || (id != NULL && strcmp(id, kid) == 0)) &&
           !says_otherwise(jwk, "use", "sig") && !says_otherwise(jwk, "alg", a->name);
}

/* ---- tokens ---- */

/* header.payload.signature */
struct parts {
    const char *text;
    size_t n_header, n_signed; /* up to the dots */
    json_t *header;
    struct numbers sig;
};

static json_t *decode_json(const char *text, size_t n)
{
    unsigned char *buf = malloc(n + 1);
    size_t n_out;
    json_t *j = NULL;
    if (buf != NULL && decode(text, n, buf, n, &n_out))
        j = json_loadb((const char *)buf, n_out, JSON_REJECT_DUPLICATES, NULL);
    free(buf);
    return j;
}

static bool split(const char *token, struct parts *ret)
{
    const char *first = strchr(token, '.'), *second = first != NULL ? strchr(first + 1, '.') : NULL;
    if (second == NULL || strchr(second + 1, '.') != NULL || strlen(token) > JWT_BYTES_MAX)
        return false;
    ret->text = token;
    ret->n_header = (size_t)(first - token);
    ret->n_signed = (size_t)(second - token);
    ret->header = decode_json(token, ret->n_header);
    return json_is_object(ret->header) &&
           decode(second + 1, strlen(second + 1), ret->sig.v, sizeof(ret->sig.v), &ret->sig.n);
}

static const struct algorithm *algorithm_of(const json_t *header)
{
    const char *name = json_string_value(json_object_get(header, "alg"));
    for (size_t i = 0; name != NULL && i < COUNT(algorithms); i++)
        if (strcmp(name, algorithms[i].name) == 0)
            return &algorithms[i];
    return NULL;
}

static enum err verify_parts(const struct parts *p, const json_t *jwks, struct errctx *ctx)
{
    const struct algorithm *a = algorithm_of(p->header);
    const char *kid = json_string_value(json_object_get(p->header, "kid"));
    if (a == NULL)
        return err_set(
            ctx, ERR_UNAUTHORIZED, "the ID token is signed with neither RS256 nor ES256");
    if (json_object_get(p->header, "crit") != NULL)
        return err_set(ctx, ERR_UNAUTHORIZED, "the ID token asks for what is not known here");
    size_t i, n_fit = 0;
    const json_t *jwk;
    json_array_foreach(json_object_get(jwks, "keys"), i, jwk)
    {
        EVP_PKEY *key = fits(jwk, a, kid) ? a->key(jwk) : NULL;
        if (key == NULL)
            continue;
        n_fit++;
        bool ok = a->is_signed(key, p->text, p->n_signed, p->sig.v, p->sig.n);
        EVP_PKEY_free(key);
        if (ok)
            return ERR_OK;
    }
    if (n_fit == 0)
        return err_set(ctx, ERR_NOT_FOUND, "the provider has no key of the ID token's");
    return err_set(ctx, ERR_UNAUTHORIZED, "the ID token's signature is not right");
}

enum err jwt_verify(const char *token, const json_t *jwks, json_t **ret_claims, struct errctx *ctx)
{
    struct parts p = {0};
    enum err e = split(token, &p)
                     ? verify_parts(&p, jwks, ctx)
                     : err_set(ctx, ERR_UNAUTHORIZED, "the ID token is not well formed");
    json_decref(p.header);
    if (e != ERR_OK)
        return e;
    json_t *claims = decode_json(token + p.n_header + 1, p.n_signed - p.n_header - 1);
    if (!json_is_object(claims)) {
        json_decref(claims);
        return err_set(ctx, ERR_UNAUTHORIZED, "the ID token has no claims");
    }
    *ret_claims = claims;
    return ERR_OK;
}

/* ---- claims ---- */

static bool is_text(const json_t *claims, const char *name, const char *wanted)
{
    const char *text = json_string_value(json_object_get(claims, name));
    return text != NULL && strlen(text) == strlen(wanted) &&
           sodium_memcmp(text, wanted, strlen(wanted)) == 0;
}

static bool is_for(const json_t *claims, const char *audience)
{
    const json_t *aud = json_object_get(claims, "aud"), *one;
    size_t i, n_ours = 0;
    if (json_is_string(aud))
        return is_text(claims, "aud", audience);
    json_array_foreach(aud, i, one)
    {
        if (!json_is_string(one))
            return false;
        n_ours += strcmp(json_string_value(one), audience) == 0;
    }
    return n_ours > 0 && (json_array_size(aud) == 1 || is_text(claims, "azp", audience));
}

/* A time of the claims within what is allowed; an absent one passes unless it `must` be there. */
static bool is_time_between(
    const json_t *claims, const char *name, int64_t from, int64_t to, bool must)
{
    const json_t *v = json_object_get(claims, name);
    if (v == NULL)
        return !must;
    return json_is_number(v) && json_number_value(v) >= (double)from &&
           json_number_value(v) <= (double)to;
}

enum err jwt_check(const json_t *claims, const struct jwt_expected *want, struct errctx *ctx)
{
    const char *subject = json_string_value(json_object_get(claims, "sub"));
    int64_t now = want->now_s;
    if (!is_text(claims, "iss", want->issuer))
        return err_set(ctx, ERR_UNAUTHORIZED, "the ID token is another issuer's");
    if (!is_for(claims, want->audience))
        return err_set(ctx, ERR_UNAUTHORIZED, "the ID token is for somebody else");
    if (!is_time_between(claims, "exp", now - SKEW_S, EXPIRES_S_MAX, true))
        return err_set(ctx, ERR_UNAUTHORIZED, "the ID token has expired");
    if (!is_time_between(claims, "iat", 0, now + SKEW_S, true) ||
        !is_time_between(claims, "nbf", 0, now + SKEW_S, false))
        return err_set(ctx, ERR_UNAUTHORIZED, "the ID token is not valid yet");
    if (!is_text(claims, "nonce", want->nonce))
        return err_set(ctx, ERR_UNAUTHORIZED, "the ID token answers another login");
    if (subject == NULL || subject[0] == '\0' || strlen(subject) > SUBJECT_MAX)
        return err_set(ctx, ERR_UNAUTHORIZED, "the ID token names nobody");
    return ERR_OK;
}
