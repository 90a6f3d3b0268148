/* SPDX-License-Identifier: Apache-2.0 */
/* Fields to sets of numbers, and the search for the next minute that is in all of them. */
#include "core/base/cron.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/cleanup.h"

#define SEARCH_YEARS 8

static const char months[] = "janfebmaraprmayjunjulaugsepoctnovdec";
static const char weekdays[] = "sunmontuewedthufrisat";

struct field {
    const char *name;
    unsigned min, max;
    const char *names; /* three letters each, the first is `min`; NULL: none */
};

static const struct field fields[] = {
    {"minute",       0, 59, NULL    },
    {"hour",         0, 23, NULL    },
    {"day of month", 1, 31, NULL    },
    {"month",        1, 12, months  },
    {"weekday",      0, 7,  weekdays},
};

/* ---- reading ---- */

static bool read_name(const struct field *f, const char **text, unsigned *ret_n)
{
    for (size_t i = 0; f->names != NULL && f->names[i] != '\0'; i += 3)
        if (strncasecmp(*text, f->names + i, 3) == 0) {
            *ret_n = f->min + (unsigned)(i / 3);
            *text += 3;
            return true;
        }
    return false;
}

static bool read_number(const char **text, unsigned *ret_n)
{
    if (!isdigit((unsigned char)**text))
        return false;
    unsigned n = 0;
    for (; isdigit((unsigned char)**text) && n < 1000; (*text)++)
        n = n * 10 + (unsigned)(**text - '0');
    *ret_n = n;
    return true;
}

static bool read_value(const struct field *f, const char **text, unsigned *ret_n)
{
    if (!read_name(f, text, ret_n) && !read_number(text, ret_n))
        return false;
    return *ret_n >= f->min && *ret_n <= f->max;
}

/* "*", "5", "5-9", each with "/2" or without. */
static bool read_item(const struct field *f, const char **text, uint64_t *set)
{
    unsigned first = f->min, last = f->max, step = 1;
    bool is_single = false;
    if (**text == '*') {
        (*text)++;
    } else {
        if (!read_value(f, text, &first))
            return false;
        is_single = **text != '-';
        if (!is_single && ((*text)++, !read_value(f, text, &last)))
            return false;
    }
    bool has_step = **text == '/';
    if (has_step && ((*text)++, !read_number(text, &step) || step == 0))
        return false;
    if (is_single && !has_step)
        last = first;
    if (last < first)
        return false;
    for (unsigned n = first; n <= last; n += step)
        *set |= UINT64_C(1) << n;
    return true;
}

static bool read_field(const struct field *f, const char **text, uint64_t *set)
{
    *set = 0;
    do {
        if (!read_item(f, text, set))
            return false;
    } while (**text == ',' && (*text)++);
    return **text == '\0' || isspace((unsigned char)**text);
}

static const char *skip_space(const char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    return text;
}

enum err cron_parse(const char *text, struct cron *ret_cron, struct errctx *ctx)
{
    struct cron c;
    uint64_t *const sets[] = {&c.minutes, &c.hours, &c.days, &c.months, &c.weekdays};
    bool is_given[COUNT(fields)];
    const char *at = skip_space(text);
    for (size_t i = 0; i < COUNT(fields); i++) {
        if (*at == '\0')
            return err_set(
                ctx, ERR_INVALID, "\"%.60s\" has %zu of the five fields of cron", text, i);
        is_given[i] = *at != '*';
        if (!read_field(&fields[i], &at, sets[i]))
            return err_set(ctx, ERR_INVALID,
                "the %s of \"%.60s\" is not sound, allowed are %u to %u", fields[i].name, text,
                fields[i].min, fields[i].max);
        at = skip_space(at);
    }
    if (*at != '\0')
        return err_set(ctx, ERR_INVALID, "\"%.60s\" has more than the five fields of cron", text);
    c.has_days = is_given[2];
    c.has_weekdays = is_given[4];
    c.weekdays |= c.weekdays >> 7 & 1;
    *ret_cron = c;
    return ERR_OK;
}

/* ---- searching ---- */

static bool has(uint64_t set, int n)
{
    return set >> n & 1;
}

static bool has_day(const struct cron *c, const struct tm *tm)
{
    bool day = has(c->days, tm->tm_mday), weekday = has(c->weekdays, tm->tm_wday);
    return c->has_days && c->has_weekdays ? day || weekday : day && weekday;
}

/* The first minute of the next month or day.  A clock that is put back at midnight never sends the
 * search back: it goes on by the hour then. */
static time_t skip_to(struct tm tm, time_t at, int n_months, int n_days)
{
    tm.tm_mon += n_months;
    tm.tm_mday = n_months > 0 ? 1 : tm.tm_mday + n_days;
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    tm.tm_isdst = -1;
    time_t next = mktime(&tm);
    return next > at ? next : at + 3600;
}

time_t cron_next(const struct cron *c, time_t after)
{
    time_t at = after - after % 60 + 60;
    time_t end = at + (time_t)SEARCH_YEARS * 366 * 86400;
    while (at < end) {
        struct tm tm;
        if (localtime_r(&at, &tm) == NULL)
            return -1;
        if (!has(c->months, tm.tm_mon + 1))
            at = skip_to(tm, at, 1, 0);
        else if (!has_day(c, &tm))
            at = skip_to(tm, at, 0, 1);
        else if (!has(c->hours, tm.tm_hour))
            at += (time_t)(60 - tm.tm_min) * 60;
        else if (!has(c->minutes, tm.tm_min))
            at += 60;
        else
            return at;
    }
    return -1;
}
