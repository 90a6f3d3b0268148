/* SPDX-License-Identifier: Apache-2.0 */
/* reload.c - a signal, a line in the log. */
#include "core/loop/reload.h"

#include "core/base/log.h"

static void on_hangup(void *arg)
{
    struct reload *r = arg;
    struct errctx ctx = {0};
    log_info("reading the settings again");
    enum err e = conf_reload(r->spec, r->argc, r->argv, r->conf, &ctx);
    if (e == ERR_OK)
        e = r->then(r->arg, &ctx);
    if (e != ERR_OK)
        log_error("some settings stay as they were error=%s", LOG_Q(ctx.text));
}

void reload_on_hangup(struct loop *l, struct reload *r)
{
    loop_on_hangup(l, on_hangup, r);
}
