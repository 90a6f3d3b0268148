/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - `stint`: surroundings, then the command tree. */
#include <locale.h>

#include "cli/command.h"
#include "cli/interrupt.h"

int main(int argc, char **argv)
{
    struct cli cli;
    (void)setlocale(LC_CTYPE, "");
    cli_init(&cli);
    cli.http = http_curl_new();
    int status = command_main(&cli, &stint_root, argc, argv);
    cli_done(&cli);
    if (status == INTERRUPT_EXIT_STATUS && interrupt_seen())
        interrupt_die();
    return status;
}
