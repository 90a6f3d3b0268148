/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reload.h - SIGHUP: settings are read once more, from where they came (conf_reload()).
 */
#ifndef CORE_LOOP_RELOAD_H
#define CORE_LOOP_RELOAD_H

#include "core/base/conf.h"
#include "core/loop/loop.h"

struct reload {
    const struct conf_spec *spec;
    int argc;
    char **argv; /* as conf_load() has left them */
    void *conf;
    /* The settings may have changed; a failure is logged.  On the loop's thread. */
    enum err (*then)(void *arg, struct errctx *ctx);
    void *arg;
};

/* `r` is borrowed for as long as the loop runs. */
void reload_on_hangup(struct loop *l, struct reload *r);

#endif
