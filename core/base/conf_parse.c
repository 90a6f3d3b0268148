/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_parse.c - numbers with units.  Strict: no sign, no fraction, no white space, and every unit
 * is written out, so that nobody has to guess what "lease = 5" would have meant.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/conf.h"

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit durations[] = {
    {"ms", 1      },
    {"s",  1000   },
    {"m",  60000  },
    {"h",  3600000},
};

static const struct unit sizes[] = {
    {"",    1        },
    {"B",   1        },
    {"KiB", 1024     },
    {"MiB", 1 << 20  },
    {"GiB", 1 << 30  },
    {"TiB", 1LL << 40},
};

static enum err parse_unit(
    const char *text, const struct unit *units, size_t n_units, int64_t *ret_value)
{
    int64_t value = 0;
    if (!isdigit((unsigned char)*text))
        return ERR_INVALID;
    for (; isdigit((unsigned char)*text); text++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *text - '0', &value))
            return ERR_INVALID;
    for (size_t i = 0; i < n_units; i++) {
        if (strcmp(text, units[i].name) == 0) {
            if (__builtin_mul_overflow(value, units[i].factor, &value))
                return ERR_INVALID;
            *ret_value = value;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

enum err conf_parse_duration_ms(const char *text, int64_t *ret_ms)
{
    if (strcmp(text, "0") == 0) {
        *ret_ms = 0;
        return ERR_OK;
    }
    return parse_unit(text, durations, COUNT(durations), ret_ms);
}

enum err conf_parse_size(const char *text, int64_t *ret_bytes)
{
    return parse_unit(text, sizes, COUNT(sizes), ret_bytes);
}

enum err conf_parse_bool(const char *text, int64_t *ret_bool)
{
    static const char *const words[2][4] = {
        {"false", "off", "no",  "0"},
        {"true",  "on",  "yes", "1"},
    };
    for (int value = 0; value < 2; value++) {
        for (size_t i = 0; i < COUNT(words[value]); i++) {
            if (strcmp(text, words[value][i]) == 0) {
                *ret_bool = value;
                return ERR_OK;
            }
        }
    }
    return ERR_INVALID;
}
