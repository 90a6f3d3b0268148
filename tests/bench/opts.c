/* SPDX-License-Identifier: Apache-2.0 */
/* opts.c - see opts.h. */
#include "tests/bench/opts.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/uuid.h"

static const struct opt *find(const struct opt *opts, size_t n, const char *word)
{
    for (size_t i = 0; strncmp(word, "--", 2) == 0 && i < n; i++)
        if (strcmp(opts[i].name, word + 2) == 0)
            return &opts[i];
    return NULL;
}

static bool set(const struct opt *o, const char *text)
{
    char *end = NULL;
    switch (o->type) {
    case OPT_TEXT:
        *(const char **)o->value = text;
        return true;
    case OPT_INT:
        *(int64_t *)o->value = strtoll(text, &end, 10);
        return end != text && *end == '\0';
    case OPT_UUID:
        return uuid_parse(text, o->value);
    }
    return false;
}

bool opts_parse(int argc, char **argv, const struct opt *opts, size_t n)
{
    for (int i = 0; i < argc; i += 2) {
        const struct opt *o = find(opts, n, argv[i]);
        if (o == NULL || i + 1 == argc || !set(o, argv[i + 1])) {
            fprintf(stderr, "stint-bench: %s %s is not understood\n", argv[i],
                i + 1 < argc ? argv[i + 1] : "(nothing)");
            return false;
        }
    }
    return true;
}
