/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address_test.c - who sent it, by table: only what trusted proxies say is believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "gateway/address.h"

static void test_clients(void **state)
{
    (void)state;
    static const struct {
        const char *trusted, *peer, *forwarded, *client;
    } rows[] = {
        {"",                  "192.0.2.1",        "10.1.1.1",                       "192.0.2.1"  },
        {"192.0.2.1",         "192.0.2.1",        NULL,                             "192.0.2.1"  },
        {"192.0.2.1",         "192.0.2.1",        "",                               "192.0.2.1"  },
        {"192.0.2.1",         "192.0.2.1",        "10.1.1.1",                       "10.1.1.1"   },
        {"192.0.2.1",         "192.0.2.2",        "10.1.1.1",                       "192.0.2.2"  },
 /* What the client itself claims stands first and is not reached. */
        {"192.0.2.0/24",      "192.0.2.9",        "8.8.8.8, 10.1.1.1",              "10.1.1.1"   },
        {"192.0.2.0/24, ::1", "::1",              "8.8.8.8,10.1.1.1 , 192.0.2.200", "10.1.1.1"   },
        {"0.0.0.0/0",         "192.0.2.9",        "8.8.8.8, 10.1.1.1",              "8.8.8.8"    },
        {"10.0.0.0/9",        "10.127.0.1",       "2001:db8::7",                    "2001:db8::7"},
        {"10.0.0.0/9",        "10.128.0.1",       "2001:db8::7",                    "10.128.0.1" },
        {"10.0.0.0/8",        "10.0.0.1",         "[2001:db8::7]:4711",             "2001:db8::7"},
        {"10.0.0.0/8",        "10.0.0.1",         "203.0.113.5:4711",               "203.0.113.5"},
        {"10.0.0.0/8",        "10.0.0.1",         "203.0.113.5, unknown",           "10.0.0.1"   },
        {"10.0.0.0/8",        "10.0.0.1",         "203.0.113.5,",                   "10.0.0.1"   },
        {"2001:db8::/32",     "2001:db8:ffff::1", "1.2.3.4",                        "1.2.3.4"    },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct address_nets trusted;
        struct address peer, client;
        char text[ADDRESS_TEXT_SIZE];
        assert_true(address_nets_parse(rows[i].trusted, &trusted));
        assert_true(address_parse(rows[i].peer, strlen(rows[i].peer), &peer));
        client = address_of_client(&trusted, &peer, rows[i].forwarded);
        address_format(&client, text);
        assert_string_equal(text, rows[i].client);
    }
}

static void test_bad_nets(void **state)
{
    (void)state;
    static const char *const bad[] = {"x", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8x", "::1/129",
        "10.0.0.0/-1", "10.0.0.0 x", "1.2.3.4.5", "/8"};
    struct address_nets nets;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(address_nets_parse(bad[i], &nets));
    assert_true(address_nets_parse(NULL, &nets));
    assert_int_equal(nets.n, 0);
}

static void test_groups(void **state)
{
    (void)state;
    struct address a, b;
    address_parse("2001:db8:1:2:3::4", 17, &a);
    address_parse("2001:db8:1:2:9::9", 17, &b);
    struct uuid one = address_group(&a), two = address_group(&b);
    assert_true(uuid_eq(&one, &two));
    address_parse("10.0.0.1", 8, &a);
    address_parse("10.0.0.2", 8, &b);
    one = address_group(&a), two = address_group(&b);
    assert_false(uuid_eq(&one, &two));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clients),
        cmocka_unit_test(test_bad_nets),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
