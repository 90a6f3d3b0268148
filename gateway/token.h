/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token.h - tokens of people: "<10 characters>-<22 characters>", the first half an id that may be
 * seen, the second a secret of which only the SHA-256 is ever stored.
 */
#ifndef GATEWAY_TOKEN_H
#define GATEWAY_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_ID_LEN     10
#define TOKEN_SECRET_LEN 22
#define TOKEN_LEN        (TOKEN_ID_LEN + 1 + TOKEN_SECRET_LEN)
#define TOKEN_HASH_BYTES 32

struct token {
    char id[TOKEN_ID_LEN + 1];
    char secret[TOKEN_SECRET_LEN + 1];
};

/* Letters and digits in the two places, nothing else. */
bool token_parse(const char *text, struct token *ret_token);
void token_make(struct token *ret_token);
void token_format(const struct token *t, char ret_text[static TOKEN_LEN + 1]);
void token_hash(const struct token *t, uint8_t ret_hash[static TOKEN_HASH_BYTES]);

/* Where a token may hide in headers.  False, and nothing written, when it is not there or longer
 * than `size` allows. */
/* Any cookie; token_from_cookies() is for the one with the token. */
bool token_cookie(const char *header, const char *name, char *buf, size_t size);
bool token_from_cookies(const char *header, char *buf, size_t size);
bool token_from_authorization(const char *header, char *buf, size_t size);

#endif
