/* SPDX-License-Identifier: Apache-2.0 */
/* provisioner.c - what all provisioners share, and the one that does nothing. */
#include "worker/provisioner/provisioner.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/mem.h"

#define DOUBT_AGAIN_MS 20

void job_io_line(struct job_io *io, const struct job_spec *spec, enum log_level level,
    const char *stage, const char *fmt, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char output[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(output, sizeof(output), fmt, ap);
    va_end(ap);
    if (io->line != NULL)
        io->line(io->arg, spec, names[level], stage, output);
}

static bool is_in_doubt(struct job_io *io)
{
    return io->lease != NULL && atomic_load(&io->call) != JOB_ABANDON &&
           clock_mono_ms() >= atomic_load(&io->lease->until_mono_ms);
}

enum err job_io_check(struct job_io *io, struct errctx *ctx)
{
    while (is_in_doubt(io)) {
        struct pollfd none = {.fd = -1};
        (void)poll(&none, 1, DOUBT_AGAIN_MS);
    }
    switch (atomic_load(&io->call)) {
    case JOB_CANCEL:
        return err_set(ctx, ERR_CANCELED, "canceled");
    case JOB_ABANDON:
        return err_set(ctx, ERR_LEASE_LOST, "another worker has the job now");
    default:
        return ERR_OK;
    }
}

bool job_io_wait(struct job_io *io, int fd, int timeout_ms)
{
    struct pollfd fds[] = {
        {.fd = fd,          .events = POLLIN},
        {.fd = io->call_fd, .events = POLLIN}
    };
    return poll(fds, 2, timeout_ms) > 0 && fds[0].revents != 0;
}

const char *job_fact(const struct job_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->n_facts; i++)
        if (strcmp(spec->facts[i].name, name) == 0)
            return spec->facts[i].value;
    return "";
}

void job_texts_free(struct job_text *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(list[i].name);
        free(list[i].value);
    }
    free(list);
}

static void parameter_done(struct import_parameter *p)
{
    char *const texts[] = {p->name, p->display_name, p->description, p->icon, p->type,
        p->default_value, p->regex, p->error};
    for (size_t i = 0; i < COUNT(texts); i++)
        free(texts[i]);
    for (size_t i = 0; i < p->n_option; i++) {
        free(p->option[i].name);
        free(p->option[i].value);
        free(p->option[i].description);
        free(p->option[i].icon);
    }
    free(p->option);
}

static void preset_done(struct import_preset *p)
{
    free(p->name);
    free(p->description);
    free(p->icon);
    job_texts_free(p->value, p->n_value);
}

static void apps_free(struct import_app *app, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(app[i].slug);
        free(app[i].display_name);
        free(app[i].icon);
        free(app[i].url);
    }
    free(app);
}

static void variables_free(struct import_variable *variable, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(variable[i].name);
        free(variable[i].description);
        free(variable[i].type);
        free(variable[i].default_value);
    }
    free(variable);
}

void job_found_done(struct job_found *f)
{
    char *const texts[] = {f->import.app_slug, f->import.display_name, f->import.description,
        f->import.icon, f->import.resources, f->import.external_auth, f->build.resources,
        f->build.agent};
    for (size_t i = 0; i < COUNT(texts); i++)
        free(texts[i]);
    apps_free(f->import.app, f->import.n_app);
    apps_free(f->build.app, f->build.n_app);
    for (size_t i = 0; i < f->import.n_parameter; i++)
        parameter_done(&f->import.parameter[i]);
    free(f->import.parameter);
    for (size_t i = 0; i < f->import.n_preset; i++)
        preset_done(&f->import.preset[i]);
    free(f->import.preset);
    variables_free(f->import.variable, f->import.n_variable);
    *f = (struct job_found){0};
}

/* ---- null ---- */

static enum err null_import(void *self, const struct job_spec *spec, struct job_io *io,
    struct job_found *found, struct errctx *ctx)
{
    (void)self, (void)spec, (void)io, (void)ctx;
    /* Tasks may be made of it; without a slug they have no agent to wait for. */
    found->import.has_ai_task = true;
    found->import.display_name = mem_strdup("Null");
    return ERR_OK;
}

static enum err null_build(void *self, const struct job_spec *spec, struct job_io *io,
    struct job_found *found, struct errctx *ctx)
{
    (void)self, (void)spec, (void)io, (void)found, (void)ctx;
    return ERR_OK;
}

struct provisioner provisioner_null(void)
{
    return (struct provisioner){
        .name = "null",
        .immediate = true,
        .action = {[JOB_START] = null_build,
                   [JOB_STOP] = null_build,
                   [JOB_DELETE] = null_build,
                   [JOB_IMPORT] = null_import},
    };
}
