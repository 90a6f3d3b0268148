/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - a command is started, listened to, hurried when its time is over, and reaped. */
#include "worker/provisioner/terraform/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "worker/file.h"
#include "worker/provisioner/terraform/message.h"
#include "worker/provisioner/terraform/start.h"

#define LOG_BYTES_MAX (1024 * 1024) /* of a job, as Coder has it */
#define LINE_BYTES    (256 * 1024)
#define OUT_BYTES     (64 * 1024 * 1024)
#define POLL_MS       500

/* Interrupted, Terraform ends what is under way and saves its state; it gets time for that, less
 * when nobody waits for the result. */
#define PATIENCE_MS      60000
#define PATIENCE_LOST_MS 10000

/* ---- environment ---- */

void environment_add(struct environment *e, const char *name, const char *fmt, ...)
{
    struct strbuf b;
    va_list ap;
    strbuf_init(&b);
    strbuf_addf(&b, "%s=", name);
    va_start(ap, fmt);
    strbuf_vaddf(&b, fmt, ap);
    va_end(ap);
    *vec_push(&e->v) = strbuf_detach(&b);
}

void environment_done(struct environment *e)
{
    for (size_t i = 0; i < e->v.n; i++)
        free(e->v.v[i]);
    vec_done(&e->v);
}

/* ---- lines ---- */

/* Every occurrence of a secret becomes stars. */
static void blot(const struct run *r, struct strbuf *b)
{
    for (size_t i = 0; i < r->secrets.n; i++) {
        size_t n = strlen(r->secrets.v[i]);
        for (char *at = b->s; (at = strstr(at, r->secrets.v[i])) != NULL; at += n)
            memset(at, '*', n);
    }
}

void run_line(struct run *r, enum log_level level, const char *stage, const char *text)
{
    if (r->overflowed)
        return;
    struct strbuf b;
    strbuf_init(&b);
    strbuf_addstr(&b, text);
    r->line_bytes += b.len;
    r->overflowed = r->line_bytes > LOG_BYTES_MAX;
    if (r->overflowed) {
        job_io_line(r->io, r->spec, LOG_WARN, stage,
            "Provisioner logs exceeded the max size of 1MB. Will not continue to write provisioner "
            "logs for workspace build.");
    } else {
        blot(r, &b);
        job_io_line(r->io, r->spec, level, stage, "%s", b.s);
    }
    strbuf_done(&b);
}

/* ---- listening ---- */

struct listener {
    struct run *run;
    struct command *command;
    struct message_sum sum; /* what was said in all */
    struct strbuf part[2];  /* of stdout, stderr: a line that has not ended */
    int fd[2];
};

static void take_line(struct listener *l, char *line)
{
    struct message m;
    message_read(&l->sum, line, &m);
    if (m.text != NULL && (!l->command->quiet || m.level >= LOG_WARN))
        run_line(l->run, m.level, l->command->stage, m.text);
    message_done(&m);
}

static void take_lines(struct listener *l, int which)
{
    struct strbuf *b = &l->part[which];
    char *end;
    while ((end = memchr(b->s, '\n', b->len)) != NULL) {
        *end = '\0';
        take_line(l, b->s);
        strbuf_consume(b, (size_t)(end - b->s) + 1);
    }
    if (b->len > LINE_BYTES) { /* longer than anything that makes sense */
        take_line(l, b->s);
        strbuf_clear(b);
    }
}

/* False at its end. */
static bool listen_to(struct listener *l, int which)
{
    char buf[65536];
    ssize_t n = read(l->fd[which], buf, sizeof(buf));
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (n <= 0) {
        file_closep(&l->fd[which]);
        l->fd[which] = -1;
        return false;
    }
    struct strbuf *out = l->command->out;
    if (which == 0 && out != NULL) {
        if (out->len < OUT_BYTES)
            strbuf_add(out, buf, (size_t)n);
        return true;
    }
    for (char *nul; (nul = memchr(buf, '\0', (size_t)n)) != NULL;)
        *nul = '?';
    strbuf_add(&l->part[which], buf, (size_t)n);
    take_lines(l, which);
    return true;
}

/* ---- the end ---- */

/* Asked to end, then made to. */
struct ending {
    enum err why; /* ERR_OK: nobody has asked */
    int signals;
    int64_t next_mono_ms;
    struct errctx ctx;
};

static void ask_to_end(const struct run *r, const struct started *s, struct ending *e)
{
    int64_t now = clock_mono_ms();
    if (e->why == ERR_OK) {
        e->why = job_io_check(r->io, &e->ctx);
        if (e->why == ERR_OK && now >= s->deadline_mono_ms)
            e->why = err_set(&e->ctx, ERR_FAILED,
                "Terraform took longer than %lld s, the worker's setting terraform_time_limit",
                (long long)(r->tf->time_limit_ms / 1000));
        if (e->why == ERR_OK)
            return;
        e->next_mono_ms = now;
    }
    if (now < e->next_mono_ms)
        return;
    /* A second interrupt makes Terraform give up at once, what is under way unsaved. */
    static const int signals[] = {SIGINT, SIGINT, SIGKILL};
    start_signal(s, signals[e->signals < 2 ? e->signals : 2]);
    e->signals++;
    int64_t patience = e->why == ERR_LEASE_LOST ? PATIENCE_LOST_MS : PATIENCE_MS;
    e->next_mono_ms = now + (e->signals == 1 ? patience : 5000);
}

static void listen_until_end(struct listener *l, const struct started *s, struct ending *e)
{
    const struct watcher *w = l->command->watcher;
    bool called = false;
    while (l->fd[0] >= 0 || l->fd[1] >= 0) {
        struct pollfd fds[] = {
            {.fd = l->fd[0],                          .events = POLLIN},
            {.fd = l->fd[1],                          .events = POLLIN},
            {.fd = w != NULL ? w->fd : -1,            .events = POLLIN},
            {.fd = called ? -1 : l->run->io->call_fd, .events = POLLIN},
        };
        poll(fds, COUNT(fds), POLL_MS);
        for (int i = 0; i < 2; i++)
            if (fds[i].revents != 0)
                listen_to(l, i);
        if (fds[2].revents != 0)
            w->ready(w->arg);
        called = called || fds[3].revents != 0;
        ask_to_end(l->run, s, e);
        /* Whoever it left behind may hold the pipes: they are not waited for. */
        if (start_has_ended(s) && fds[0].revents == 0 && fds[1].revents == 0)
            break;
    }
}

static enum err outcome(const struct listener *l, struct ending *e, int status, struct errctx *ctx)
{
    if (e->why != ERR_OK) {
        *ctx = e->ctx;
        return e->why;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return ERR_OK;
    if (l->sum.error.len > 0) {
        struct strbuf text;
        strbuf_init(&text);
        strbuf_addstr(&text, l->sum.error.s);
        blot(l->run, &text);
        enum err code = err_set(ctx, ERR_FAILED, "%s", text.s);
        strbuf_done(&text);
        return code;
    }
    int signal = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) - 128;
    if (signal > 0)
        return err_set(ctx, ERR_FAILED,
            "Terraform was killed by signal %d (%s): out of memory, or by somebody's hand", signal,
            strsignal(signal));
    return err_set(ctx, ERR_FAILED, "Terraform ended with status %d: %s", WEXITSTATUS(status),
        l->sum.last.len > 0 ? l->sum.last.s : "it has said nothing");
}

static enum err follow(struct listener *l, struct started *s, struct errctx *ctx)
{
    struct ending ending = {.why = ERR_OK};
    l->fd[0] = s->out_fd;
    l->fd[1] = s->err_fd;
    listen_until_end(l, s, &ending);
    for (int i = 0; i < 2; i++) {
        if (l->part[i].len > 0)
            take_line(l, l->part[i].s);
        file_closep(&l->fd[i]);
    }
    int status = start_reap(s);
    l->command->ai_tasks = l->sum.ai_tasks;
    return outcome(l, &ending, status, ctx);
}

enum err run_command(struct run *r, struct command *c, struct errctx *ctx)
{
    enum err e = job_io_check(r->io, ctx);
    if (e != ERR_OK)
        return e;
    struct started s;
    e = start_command(r, c, &s, ctx);
    if (e != ERR_OK)
        return e;
    struct listener l = {.run = r, .command = c};
    strbuf_init(&l.part[0]);
    strbuf_init(&l.part[1]);
    message_sum_init(&l.sum);
    if (c->watcher != NULL) {
        l.sum.on_hook = c->watcher->hook;
        l.sum.arg = c->watcher->arg;
    }
    e = follow(&l, &s, ctx);
    message_sum_done(&l.sum);
    strbuf_done(&l.part[0]);
    strbuf_done(&l.part[1]);
    return e;
}
