/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a cron expression means what crontab(5) says, and one that is not sound is refused with the
 * field's name.
 * Method: tables of expression, instant, next instant; the time zone is the test's own.
 */
#include "tests/unit/agent/lab.h"

#include <time.h>

#include "core/base/cleanup.h"
#include "core/base/cron.h"

static time_t at(const char *text)
{
    struct tm tm = {.tm_isdst = -1};
    assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
    return mktime(&tm);
}

static void assert_next(const char *cron, const char *after, const char *expected)
{
    struct errctx ctx = {0};
    struct cron c;
    if (cron_parse(cron, &c, &ctx) != ERR_OK)
        fail_msg("%s", ctx.text);
    time_t next = cron_next(&c, at(after));
    char text[32];
    struct tm tm;
    localtime_r(&next, &tm);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
    if (strcmp(text, expected) != 0)
        fail_msg("%s after %s is %s, not %s", cron, after, text, expected);
}

/* Rows of tables, which the formatter lets be. */
#define ROW(...)    \
    {               \
        __VA_ARGS__ \
    }

/* 2026-11-20 is a Friday. */
static const struct {
    const char *cron, *after, *next;
} nexts[] = {
    ROW("* * * * *", "2026-11-20 10:00:00", "2026-11-20 10:01:00"),
    ROW("* * * * *", "2026-11-20 10:00:59", "2026-11-20 10:01:00"),
    ROW("*/5 * * * *", "2026-11-20 10:00:00", "2026-11-20 10:05:00"),
    ROW("*/5 * * * *", "2026-11-20 23:57:00", "2026-11-21 00:00:00"),
    ROW("5/20 * * * *", "2026-11-20 10:26:00", "2026-11-20 10:45:00"),
    ROW("0 9-17/4 * * *", "2026-11-20 13:00:00", "2026-11-20 17:00:00"),
    ROW("30 8 * * mon-fri", "2026-11-20 08:30:00", "2026-11-23 08:30:00"),
    ROW("0 0 * * 7", "2026-11-20 00:00:00", "2026-11-22 00:00:00"),
    ROW("0 0 * * 0", "2026-11-20 00:00:00", "2026-11-22 00:00:00"),
    ROW("0 0 * * SUN,Wed", "2026-11-22 00:00:00", "2026-11-25 00:00:00"),
    ROW("0 12 1 jan *", "2026-11-20 00:00:00", "2027-01-01 12:00:00"),
    ROW("0 12 31 * *", "2026-11-20 00:00:00", "2026-12-31 12:00:00"),
    ROW("0 0 29 2 *", "2026-11-20 00:00:00", "2028-02-29 00:00:00"),
    ROW("0 0 13 * fri", "2026-11-20 00:00:00", "2026-11-27 00:00:00"),
    ROW("0 0 13 * fri", "2026-12-11 00:00:00", "2026-12-13 00:00:00"),
    ROW("0 0 */2 * mon", "2026-11-20 00:00:00", "2026-11-23 00:00:00"),
    ROW("  15,45  3 * feb-mar * ", "2026-11-20 00:00:00", "2027-02-01 03:15:00"),
};

static void test_next(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(nexts); i++)
        assert_next(nexts[i].cron, nexts[i].after, nexts[i].next);
}

static void test_never(void **state)
{
    (void)state;
    struct errctx ctx = {0};
    struct cron c;
    assert_int_equal(cron_parse("0 0 30 2 *", &c, &ctx), ERR_OK);
    assert_int_equal(cron_next(&c, at("2026-11-20 00:00:00")), -1);
}

/* Berlin's clock goes from 02:00 to 03:00 on 2026-03-29 and from 03:00 to 02:00 on 2026-10-25. */
static void test_clock_that_is_changed(void **state)
{
    (void)state;
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    assert_next("30 2 * * *", "2026-03-28 12:00:00", "2026-03-30 02:30:00");
    assert_next("0 * * * *", "2026-03-29 01:30:00", "2026-03-29 03:00:00");
    assert_next("30 2 * * *", "2026-10-24 12:00:00", "2026-10-25 02:30:00");
    /* Every minute of two years moves on, never back. */
    struct errctx ctx = {0};
    struct cron c;
    assert_int_equal(cron_parse("7 * * * *", &c, &ctx), ERR_OK);
    time_t now = at("2026-01-01 00:00:00"), end = now + 2 * 365 * 86400;
    for (unsigned n = 0; now < end; n++) {
        time_t next = cron_next(&c, now);
        assert_true(next > now && next - now <= 3600);
        now = next;
    }
    setenv("TZ", "UTC0", 1);
    tzset();
}

static const struct {
    const char *cron, *says;
} wrong[] = {
    ROW("", "\"\" has 0 of the five fields"),
    ROW("* * * *", "has 4 of the five fields"),
    ROW("* * * * * *", "more than the five fields"),
    ROW("60 * * * *", "the minute of"),
    ROW("-1 * * * *", "the minute of"),
    ROW("* 24 * * *", "the hour of"),
    ROW("* * 0 * *", "the day of month of"),
    ROW("* * * 13 *", "the month of"),
    ROW("* * * foo *", "the month of"),
    ROW("* * * * 8", "the weekday of \"* * * * 8\" is not sound, allowed are 0 to 7"),
    ROW("5-3 * * * *", "the minute of"),
    ROW("*/0 * * * *", "the minute of"),
    ROW("*/x * * * *", "the minute of"),
    ROW("1, * * * *", "the minute of"),
    ROW("1-2-3 * * * *", "the minute of"),
    ROW("99999999999999999999 * * * *", "the minute of"),
    ROW("@hourly", "the minute of"),
};

static void test_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct errctx ctx = {0};
        struct cron c;
        assert_int_equal(cron_parse(wrong[i].cron, &c, &ctx), ERR_INVALID);
        if (strstr(ctx.text, wrong[i].says) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", wrong[i].cron, ctx.text, wrong[i].says);
    }
}

int main(void)
{
    setenv("TZ", "UTC0", 1);
    tzset();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_never),
        cmocka_unit_test(test_clock_that_is_changed),
        cmocka_unit_test(test_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
