/* SPDX-License-Identifier: Apache-2.0 */
/* progress.c - the redrawn line, and the pace of looking. */
#include "cli/progress.h"

#include <stdarg.h>
#include <string.h>

#include "core/base/clock.h"

#define QUIET_MS    1000
#define PACE_MS_MIN 250
#define PACE_MS_MAX 1000

void progress_begin(struct progress *p, struct cli *cli)
{
    *p = (struct progress){.cli = cli, .begin_mono_ms = clock_mono_ms()};
}

int64_t progress_elapsed_ms(const struct progress *p)
{
    return clock_mono_ms() - p->begin_mono_ms;
}

static void draw(struct progress *p, const char *text)
{
    static const char wheel[] = "|/-\\";
    fprintf(p->cli->err, "\r\033[K%c %s (%ds)", wheel[p->tick++ % 4], text,
        (int)(progress_elapsed_ms(p) / 1000));
    fflush(p->cli->err);
    p->drawn = true;
}

void progress_step(struct progress *p, const char *fmt, ...)
{
    char text[sizeof(p->last)];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);

    if (p->cli->err_is_terminal) {
        draw(p, text);
    } else if (progress_elapsed_ms(p) >= QUIET_MS && strcmp(text, p->last) != 0) {
        cli_say(p->cli, "%s", text);
        memcpy(p->last, text, sizeof(text));
    }
}

void progress_clear(struct progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", p->cli->err);
    p->drawn = false;
}

void pace_changed(struct pace *p)
{
    p->wait_ms = PACE_MS_MIN;
}

void pace_wait(struct pace *p, struct cli *cli)
{
    if (p->wait_ms < PACE_MS_MIN)
        p->wait_ms = PACE_MS_MIN;
    cli->wait_ms(cli, p->wait_ms);
    p->wait_ms += p->wait_ms / 4;
    if (p->wait_ms > PACE_MS_MAX)
        p->wait_ms = PACE_MS_MAX;
}
