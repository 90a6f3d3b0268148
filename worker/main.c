/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - settings, log, run. */
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "worker/conf.h"
#include "worker/worker.h"

static enum err set_log(void *arg, struct errctx *ctx)
{
    const struct worker_conf *c = arg;
    return log_configure(c->log_level, c->log_format, ctx);
}

static enum err run(int argc, char **argv, struct worker_conf *conf, struct errctx *ctx)
{
    int n_args = 0;
    enum conf_next next = CONF_GO;
    enum err e = conf_load(&worker_conf_spec, argc, argv, conf, &n_args, &next, ctx);
    if (e != ERR_OK || next == CONF_EXIT)
        return e;
    if (n_args > 0)
        return err_set(ctx, ERR_USAGE, "\"%s\" is no command of stint-worker; see --help", argv[1]);
    e = set_log(conf, ctx);
    if (e == ERR_OK)
        e = worker_conf_complete(conf, ctx);
    struct reload reload = {&worker_conf_spec, argc, argv, conf, set_log, conf};
    return e != ERR_OK ? e : worker_run(conf, &reload, ctx);
}

int main(int argc, char **argv)
{
    struct worker_conf conf = {0};
    struct errctx ctx = {0};
    log_init("worker");
    enum err e = run(argc, argv, &conf, &ctx);
    if (e != ERR_OK)
        log_error("stint-worker cannot run error=%s", LOG_Q(ctx.text));
    conf_done(&worker_conf_spec, &conf);
    return err_exit_status(e);
}
