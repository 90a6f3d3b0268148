/* SPDX-License-Identifier: Apache-2.0 */
/* suggest.c - edit distance with swaps of neighbours, over three rows. */
#include "cli/suggest.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define WORD_MAX 64

static size_t least(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

static int same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

size_t suggest_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    if (n > WORD_MAX || m > WORD_MAX)
        return n > m ? n : m;

    /* row[i % 3][j]: edits from the first i letters of a to the first j of b */
    size_t row[3][WORD_MAX + 1];
    for (size_t j = 0; j <= m; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = row[i % 3];
        const size_t *above = row[(i + 2) % 3], *two_above = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            now[j] = least(above[j] + 1, now[j - 1] + 1, above[j - 1] + !same(a[i - 1], b[j - 1]));
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
                now[j] = least(now[j], two_above[j - 2] + 1, now[j]);
        }
    }
    return row[n % 3][m];
}

static size_t near_enough(size_t length)
{
    return length <= 3 ? 1 : length <= 7 ? 2 : 3;
}

void suggest_offer(struct suggestion *s, const char *candidate)
{
    size_t length = strlen(s->typed);
    size_t d = suggest_distance(s->typed, candidate);
    if (length >= 2 && strncasecmp(s->typed, candidate, length) == 0)
        d = d > 0;
    else if (d > near_enough(length) || d >= length)
        return;
    if (s->best == NULL || d < s->best_distance) {
        s->best = candidate;
        s->best_distance = d;
    }
}
