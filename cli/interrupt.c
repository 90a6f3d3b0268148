/* SPDX-License-Identifier: Apache-2.0 */
/* interrupt.c - a flag that SIGINT sets. */
#include "cli/interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static volatile sig_atomic_t seen, caught;

static void note(int signal)
{
    (void)signal;
    seen = 1;
}

void interrupt_catch(void)
{
    /* Without SA_RESTART, so that a wait ends; once only, so that a second one kills. */
    struct sigaction action = {.sa_handler = note, .sa_flags = (int)SA_RESETHAND};
    if (caught)
        return;
    caught = 1;
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
}

bool interrupt_seen(void)
{
    return seen != 0;
}

void interrupt_done(void)
{
    (void)signal(SIGINT, SIG_DFL);
    seen = caught = 0;
}

void interrupt_die(void)
{
    (void)signal(SIGINT, SIG_DFL);
    (void)raise(SIGINT);
    _exit(INTERRUPT_EXIT_STATUS);
}
