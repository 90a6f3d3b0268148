/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.c - clock_gettime(2) in microseconds, and RFC 3339.
 */
#include "core/base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

int64_t clock_mono_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_mono_ms(void)
{
    return clock_mono_us() / 1000;
}

int64_t clock_wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int days_of_year(int year)
{
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return leap ? 366 : 365;
}

static int days_of_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month] + (month == 1 ? days_of_year(year) - 365 : 0);
}

/* By hand: the C library's way takes a lock, which whoever ran out of memory may hold (mem_out()
 * has a line to write then). */
void clock_format(int64_t wall_us, char ret_text[static CLOCK_TEXT_SIZE])
{
    const int64_t day_us = 86400LL * 1000000;
    int64_t rest = wall_us % day_us, days = wall_us / day_us;
    if (rest < 0) {
        rest += day_us;
        days--;
    }
    int year = 1970, month = 0;
    for (; days < 0; days += days_of_year(year))
        year--;
    for (; days >= days_of_year(year); year++)
        days -= days_of_year(year);
    for (; days >= days_of_month(year, month); month++)
        days -= days_of_month(year, month);
    int seconds = (int)(rest / 1000000), us = (int)(rest % 1000000);
    int n = snprintf(ret_text, CLOCK_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d", year, month + 1,
        (int)days + 1, seconds / 3600, seconds / 60 % 60, seconds % 60);
    if (us != 0) {
        n += snprintf(ret_text + n, (size_t)(CLOCK_TEXT_SIZE - n), ".%06d", us);
        while (ret_text[n - 1] == '0')
            n--;
    }
    snprintf(ret_text + n, (size_t)(CLOCK_TEXT_SIZE - n), "Z");
}

/* Exactly n digits, at most `max`. */
static bool read_digits(const char **s, int n, int min, int max, int *ret)
{
    *ret = 0;
    for (; n > 0; n--, (*s)++) {
        if (**s < '0' || **s > '9')
            return false;
        *ret = *ret * 10 + (**s - '0');
    }
    return *ret >= min && *ret <= max;
}

static bool read_char(const char **s, char c)
{
    return *(*s)++ == c;
}

/* ".25": microseconds; nothing: 0. */
static bool read_fraction(const char **s, int64_t *ret_us)
{
    int64_t unit = 100000;
    *ret_us = 0;
    if (**s != '.')
        return true;
    const char *begin = ++(*s);
    for (; **s >= '0' && **s <= '9'; (*s)++, unit /= 10)
        *ret_us += (**s - '0') * unit;
    return *s > begin;
}

/* "Z" or "+01:00", in seconds east. */
static bool read_offset(const char **s, int *ret_s)
{
    int sign = **s == '-' ? -1 : 1, hours, minutes;
    *ret_s = 0;
    if (**s == 'Z' || **s == 'z')
        return read_char(s, **s);
    if (**s != '+' && **s != '-')
        return false;
    (*s)++;
    if (!read_digits(s, 2, 0, 23, &hours) || !read_char(s, ':') ||
        !read_digits(s, 2, 0, 59, &minutes))
        return false;
    *ret_s = sign * (hours * 3600 + minutes * 60);
    return true;
}

static bool read_date(const char **s, struct tm *tm)
{
    bool ok = read_digits(s, 4, 1970, 9999, &tm->tm_year) && read_char(s, '-') &&
              read_digits(s, 2, 1, 12, &tm->tm_mon) && read_char(s, '-') &&
              read_digits(s, 2, 1, 31, &tm->tm_mday);
    tm->tm_year -= 1900;
    tm->tm_mon--;
    return ok;
}

static bool read_time(const char **s, struct tm *tm)
{
    return read_digits(s, 2, 0, 23, &tm->tm_hour) && read_char(s, ':') &&
           read_digits(s, 2, 0, 59, &tm->tm_min) && read_char(s, ':') &&
           read_digits(s, 2, 0, 59, &tm->tm_sec);
}

bool clock_parse(const char *text, int64_t *ret_wall_us)
{
    struct tm tm = {0};
    int64_t us;
    int offset;
    const char *s = text;
    if (!read_date(&s, &tm) || (*s != 'T' && *s != 't') || !read_char(&s, *s) ||
        !read_time(&s, &tm) || !read_fraction(&s, &us) || !read_offset(&s, &offset) || *s != '\0')
        return false;
    int day = tm.tm_mday;
    time_t at = timegm(&tm);
    if (tm.tm_mday != day) /* the 31st of April */
        return false;
    *ret_wall_us = ((int64_t)at - offset) * 1000000 + us;
    return true;
}
