/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwt_test.c - signatures by keys made here, and claims by table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <sodium.h>

#include "core/base/cleanup.h"
#include "gateway/jwt.h"

#define URLSAFE sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define NOW     INT64_C(1800000000)

static EVP_PKEY *rsa, *small_rsa, *ec;
static json_t *jwks;

static const char *base64(const void *data, size_t n)
{
    static char text[4][4096];
    static unsigned next;
    char *out = text[next++ % 4];
    return sodium_bin2base64(out, sizeof(text[0]), data, n, URLSAFE);
}

static const char *number(EVP_PKEY *key, const char *name)
{
    unsigned char buf[1024];
    BIGNUM *bn = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &bn), 1);
    int n = BN_bn2bin(bn, buf);
    BN_free(bn);
    return base64(buf, (size_t)n);
}

static json_t *rsa_jwk(EVP_PKEY *key, const char *kid)
{
    return json_pack("{ssssssssss}", "kty", "RSA", "kid", kid, "use", "sig", "n",
        number(key, OSSL_PKEY_PARAM_RSA_N), "e", number(key, OSSL_PKEY_PARAM_RSA_E));
}

static json_t *ec_jwk(const char *kid)
{
    unsigned char point[65];
    size_t n;
    EVP_PKEY_get_octet_string_param(ec, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &n);
    return json_pack("{ssssssssss}", "kty", "EC", "crv", "P-256", "kid", kid, "x",
        base64(point + 1, 32), "y", base64(point + 33, 32));
}

static int set_up(void **state)
{
    (void)state;
    rsa = EVP_RSA_gen(2048);
    small_rsa = EVP_RSA_gen(1024);
    ec = EVP_EC_gen("prime256v1");
    jwks =
        json_pack("{s[ooo]}", "keys", rsa_jwk(rsa, "r"), rsa_jwk(small_rsa, "small"), ec_jwk("e"));
    return rsa != NULL && ec != NULL && jwks != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa), EVP_PKEY_free(small_rsa), EVP_PKEY_free(ec);
    json_decref(jwks);
    return 0;
}

/* ECDSA's DER as r and s side by side. */
static size_t raw_of(const unsigned char *der, size_t n, unsigned char raw[64])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
    BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32);
    ECDSA_SIG_free(sig);
    return 64;
}

static void make(char *token, size_t size, const char *header, EVP_PKEY *key)
{
    unsigned char sig[512], raw[64];
    size_t n_sig = sizeof(sig);
    static const char claims[] = "{\"sub\":\"x\"}";
    snprintf(token, size, "%s.%s", base64(header, strlen(header)), base64(claims, strlen(claims)));
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key);
    EVP_DigestSign(md, sig, &n_sig, (unsigned char *)token, strlen(token));
    EVP_MD_CTX_free(md);
    bool is_ec = key == ec;
    size_t n = is_ec ? raw_of(sig, n_sig, raw) : n_sig;
    size_t at = strlen(token);
    snprintf(token + at, size - at, ".%s", base64(is_ec ? raw : sig, n));
}

static enum err verify(const char *header, EVP_PKEY *key)
{
    char token[4096];
    json_t *claims = NULL;
    struct errctx ctx = {0};
    make(token, sizeof(token), header, key);
    enum err e = jwt_verify(token, jwks, &claims, &ctx);
    json_decref(claims);
    return e;
}

static void test_signatures(void **state)
{
    (void)state;
    assert_int_equal(verify("{\"alg\":\"RS256\",\"kid\":\"r\"}", rsa), ERR_OK);
    assert_int_equal(verify("{\"alg\":\"RS256\"}", rsa), ERR_OK);
    assert_int_equal(verify("{\"alg\":\"ES256\",\"kid\":\"e\"}", ec), ERR_OK);
    assert_int_equal(verify("{\"alg\":\"RS256\",\"kid\":\"new\"}", rsa), ERR_NOT_FOUND);
    assert_int_equal(verify("{\"alg\":\"RS256\",\"kid\":\"small\"}", small_rsa), ERR_NOT_FOUND);
    assert_int_equal(verify("{\"alg\":\"ES256\",\"kid\":\"r\"}", ec), ERR_NOT_FOUND);
    assert_int_equal(verify("{\"alg\":\"RS256\",\"kid\":\"r\"}", small_rsa), ERR_UNAUTHORIZED);
    assert_int_equal(verify("{\"alg\":\"none\"}", rsa), ERR_UNAUTHORIZED);
    assert_int_equal(verify("{\"alg\":\"None\"}", rsa), ERR_UNAUTHORIZED);
    assert_int_equal(verify("{\"alg\":\"HS256\",\"kid\":\"r\"}", rsa), ERR_UNAUTHORIZED);
    assert_int_equal(verify("{\"alg\":\"RS256\",\"crit\":[\"x\"]}", rsa), ERR_UNAUTHORIZED);
    assert_int_equal(verify("{\"alg\":\"RS256\",\"alg\":\"none\"}", rsa), ERR_UNAUTHORIZED);
    assert_int_equal(verify("[]", rsa), ERR_UNAUTHORIZED);
    assert_int_equal(verify("{}", rsa), ERR_UNAUTHORIZED);
}

/* Any other byte, anywhere: refused. */
static void test_any_change(void **state)
{
    (void)state;
    char token[4096];
    struct errctx ctx = {0};
    make(token, sizeof(token), "{\"alg\":\"RS256\",\"kid\":\"r\"}", rsa);
    for (size_t i = 0; token[i] != '\0'; i++) {
        json_t *claims = NULL;
        char was = token[i];
        token[i] = was == 'A' ? 'B' : 'A';
        assert_int_not_equal(jwt_verify(token, jwks, &claims, &ctx), ERR_OK);
        token[i] = '\0';
        assert_int_not_equal(jwt_verify(token, jwks, &claims, &ctx), ERR_OK);
        token[i] = was;
    }
}

static const struct {
    const char *claims;
    bool good;
} rows[] = {
#define CLAIMS(good, text) {text, good},
#include "tests/unit/gateway/jwt_claims.def"
};

static void test_claims(void **state)
{
    (void)state;
    const struct jwt_expected want = {"https://idp", "stint", "n1", NOW};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct errctx ctx = {0};
        json_t *claims = json_loads(rows[i].claims, 0, NULL);
        assert_non_null(claims);
        if ((jwt_check(claims, &want, &ctx) == ERR_OK) != rows[i].good)
            fail_msg("row %zu: %s: %s", i, rows[i].claims, ctx.text);
        json_decref(claims);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_any_change),
        cmocka_unit_test(test_claims),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
