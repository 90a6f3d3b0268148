/* SPDX-License-Identifier: Apache-2.0 */
/* opts.h - "--name value" pairs of a load generator's command, as rows. */
#ifndef TESTS_BENCH_OPTS_H
#define TESTS_BENCH_OPTS_H

#include <stdbool.h>
#include <stddef.h>

enum opt_type { OPT_TEXT, OPT_INT, OPT_UUID };

struct opt {
    const char *name; /* without the dashes */
    enum opt_type type;
    void *value; /* const char **, int64_t * or struct uuid * */
};

/* False after a sentence on stderr. */
bool opts_parse(int argc, char **argv, const struct opt *opts, size_t n);

#endif
