/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token.c - making and reading tokens.
 */
#include "gateway/token.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define COOKIE "coder_session_token"

static bool is_alnum(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'z') ||
                (s[i] >= 'A' && s[i] <= 'Z')))
            return false;
    return true;
}

bool token_parse(const char *text, struct token *ret_token)
{
    const char *secret = text + TOKEN_ID_LEN + 1;
    if (strlen(text) != TOKEN_LEN || text[TOKEN_ID_LEN] != '-' || !is_alnum(text, TOKEN_ID_LEN) ||
        !is_alnum(secret, TOKEN_SECRET_LEN))
        return false;
    memcpy(ret_token->id, text, TOKEN_ID_LEN);
    ret_token->id[TOKEN_ID_LEN] = '\0';
    memcpy(ret_token->secret, secret, TOKEN_SECRET_LEN + 1);
    return true;
}

static void random_word(char *ret_word, size_t n)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t i = 0; i < n; i++)
        ret_word[i] = alphabet[randombytes_uniform(sizeof(alphabet) - 1)];
    ret_word[n] = '\0';
}

void token_make(struct token *ret_token)
{
    random_word(ret_token->id, TOKEN_ID_LEN);
    random_word(ret_token->secret, TOKEN_SECRET_LEN);
}

void token_format(const struct token *t, char ret_text[static TOKEN_LEN + 1])
{
    snprintf(ret_text, TOKEN_LEN + 1, "%s-%s", t->id, t->secret);
}

void token_hash(const struct token *t, uint8_t ret_hash[static TOKEN_HASH_BYTES])
{
    crypto_hash_sha256(ret_hash, (const unsigned char *)t->secret, TOKEN_SECRET_LEN);
}

static bool copy(const char *s, size_t n, char *buf, size_t size)
{
    if (n == 0 || n >= size)
        return false;
    memcpy(buf, s, n);
    buf[n] = '\0';
    return true;
}

bool token_cookie(const char *header, const char *name, char *buf, size_t size)
{
    size_t n_name = strlen(name);
    for (const char *s = header; *s != '\0';) {
        s += strspn(s, " ;\t");
        size_t n = strcspn(s, ";");
        if (n > n_name && strncmp(s, name, n_name) == 0 && s[n_name] == '=')
            return copy(s + n_name + 1, n - n_name - 1, buf, size);
        s += n;
    }
    return false;
}

bool token_from_cookies(const char *header, char *buf, size_t size)
{
    return token_cookie(header, COOKIE, buf, size);
}

bool token_from_authorization(const char *header, char *buf, size_t size)
{
    static const char scheme[] = "Bearer ";
    size_t skip = sizeof(scheme) - 1;
    if (strncasecmp(header, scheme, skip) != 0)
        return false;
    header += skip;
    header += strspn(header, " ");
    return copy(header, strcspn(header, " "), buf, size);
}
