/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token_test.c - the form of tokens, and where they hide in headers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "gateway/token.h"

#define GOOD "abcdeFGH12-0123456789abcdefghijKL"

static const struct {
    const char *text;
    bool ok;
} forms[] = {
    {GOOD,                                   true },
    {"",                                     false},
    {"abcdeFGH12",                           false},
    {"abcdeFGH12-0123456789abcdefghijK",     false},
    {"abcdeFGH12-0123456789abcdefghijKLM",   false},
    {"abcdeFGH120-123456789abcdefghijKL",    false},
    {"abcdeFGH1_-0123456789abcdefghijKL",    false},
    {"abcdeFGH12-0123456789abcdefghij K",    false},
    {"9b2c1de8-53c1-4d62-9b3c-1de853c14d62", false},
};

static void forms_by_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(forms); i++) {
        struct token t;
        assert_int_equal(token_parse(forms[i].text, &t), forms[i].ok);
    }
}

static void a_made_token_reads_back(void **state)
{
    (void)state;
    struct token made, read;
    char text[TOKEN_LEN + 1];
    uint8_t a[TOKEN_HASH_BYTES], b[TOKEN_HASH_BYTES];
    token_make(&made);
    token_format(&made, text);
    assert_true(token_parse(text, &read));
    assert_string_equal(read.id, made.id);
    token_hash(&made, a);
    token_hash(&read, b);
    assert_memory_equal(a, b, sizeof(a));
    token_make(&read);
    token_hash(&read, b);
    assert_memory_not_equal(a, b, sizeof(a));
}

static const struct {
    const char *header, *token; /* NULL: none */
} cookies[] = {
    {"coder_session_token=" GOOD,              GOOD},
    {"a=b; coder_session_token=" GOOD "; c=d", GOOD},
    {"a=b;coder_session_token=x",              "x" },
    {"xcoder_session_token=y",                 NULL},
    {"coder_session_token=",                   NULL},
    {"coder_session_token",                    NULL},
    {"",                                       NULL},
    {"; ;; ",                                  NULL},
};

static void cookies_by_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cookies); i++) {
        char buf[64] = "";
        assert_int_equal(
            token_from_cookies(cookies[i].header, buf, sizeof(buf)), cookies[i].token != NULL);
        assert_string_equal(buf, cookies[i].token != NULL ? cookies[i].token : "");
    }
}

static void a_bearer_is_found_in_any_case(void **state)
{
    (void)state;
    char buf[64];
    assert_true(token_from_authorization("Bearer " GOOD, buf, sizeof(buf)));
    assert_string_equal(buf, GOOD);
    assert_true(token_from_authorization("bearer   x", buf, sizeof(buf)));
    assert_string_equal(buf, "x");
    assert_false(token_from_authorization("Basic x", buf, sizeof(buf)));
    assert_false(token_from_authorization("Bearer", buf, sizeof(buf)));
    char longer[128];
    memset(longer, 'x', sizeof(longer));
    memcpy(longer, "Bearer ", 7);
    longer[127] = '\0';
    assert_false(token_from_authorization(longer, buf, sizeof(buf)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_by_table),
        cmocka_unit_test(a_made_token_reads_back),
        cmocka_unit_test(cookies_by_table),
        cmocka_unit_test(a_bearer_is_found_in_any_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
