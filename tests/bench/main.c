/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - stint-bench, the load generators of tests/bench/run: one command each, which prints one
 * line of JSON.
 */
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "tests/bench/create.h"
#include "tests/bench/reports.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"create",  create_main },
    {"reports", reports_main},
};

int main(int argc, char **argv)
{
    log_init("bench");
    log_set_level(LOG_WARN);
    for (size_t i = 0; argc > 1 && i < COUNT(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2);
    fprintf(stderr, "stint-bench is run by tests/bench/run; commands: create, reports\n");
    return 64;
}
