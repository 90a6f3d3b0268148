/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: how far a reader has come is written into an event id and read back the same; nothing else
 * is taken for one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h> /* counts on the first of them */

#include "core/base/cleanup.h"
#include "gateway/task_events.h"

#define JOB   "11111111-2222-4333-8444-555555555555"
#define AGENT "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
#define SAID  "9f86d081884c7d65"

static void what_is_written_is_read(void **state)
{
    (void)state;
    static const char *const good[] = {
        "1763725000123-4",
        "0-0;m=0:" SAID,
        "1-0;b=" JOB ":0",
        "1-0;a=" AGENT ":88",
        "1-0;m=12:" SAID ";b=" JOB ":1048577;a=" AGENT ":88",
        "999999999999999999-999999999999999999;m=999999999999999999:" SAID ";b=" JOB
        ":999999999999999999;a=" AGENT ":999999999999999999",
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        struct task_cursor c;
        char text[TASK_EVENT_ID_SIZE];
        assert_true(task_cursor_read(good[i], &c));
        task_cursor_write(&c, text);
        assert_string_equal(text, good[i]);
    }
}

static void a_new_reader_has_seen_nothing(void **state)
{
    (void)state;
    struct task_cursor c;
    assert_true(task_cursor_read("5-0", &c));
    assert_int_equal(c.message, -1);
    assert_true(uuid_is_nil(&c.job) && uuid_is_nil(&c.agent));
}

static void nothing_else_is_a_place(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        ";",
        "1",
        "1-",
        "1-0;",
        "1-0;;",
        "1-0;m",
        "1-0;m=",
        "1-0;m=1",
        "1-0;m=:" SAID,
        "1-0;m=-1:" SAID,
        "1-0;m=1:" SAID "0",
        "1-0;m=1:XYZ",
        "1-0;m=9999999999999999999:" SAID,
        "1-0;m=1:" SAID ";",
        "1-0;b=" JOB,
        "1-0;b=" JOB ":",
        "1-0;b=" JOB ":x",
        "1-0;b=" JOB ":-1",
        "1-0;b=x:1",
        "1-0;c=" JOB ":1",
        "1-0 ;m=1:" SAID,
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct task_cursor c;
        if (task_cursor_read(bad[i], &c))
            fail_msg("\"%s\" was taken", bad[i]);
        assert_int_equal(c.message, -1);
        assert_true(uuid_is_nil(&c.job) && uuid_is_nil(&c.agent));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_new_reader_has_seen_nothing),
        cmocka_unit_test(nothing_else_is_a_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
