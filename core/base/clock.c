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

void clock_format(int64_t wall_us, char ret_text[static CLOCK_TEXT_SIZE])
{
    int64_t us = wall_us % 1000000;
    if (us < 0)
        us += 1000000;
    time_t s = (time_t)((wall_us - us) / 1000000);
    struct tm tm;
    gmtime_r(&s, &tm);
    size_t n = strftime(ret_text, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    if (us != 0) {
        n += (size_t)snprintf(ret_text + n, CLOCK_TEXT_SIZE - n, ".%06d", (int)us);
        while (ret_text[n - 1] == '0')
            n--;
    }
    snprintf(ret_text + n, CLOCK_TEXT_SIZE - n, "Z");
}
