/* SPDX-License-Identifier: Apache-2.0 */
/* Turns: mark, say, run, read, say. */
#include "agent/turns.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/app_env.h"
#include "agent/file.h"
#include "agent/output.h"
#include "agent/turn_mark.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/base/vec.h"

/* Between two tries to mark the prompt on a disk that is full. */
#define DISK_AGAIN_MS 2000
/* Refusals that are remembered, so that a message delivered again gets the same answer. */
#define REFUSED_MAX 32

enum turn_state { TURN_STABLE, TURN_RUNNING, TURN_DRAINING };

struct refused {
    struct uuid send_id;
    struct turn_answer answer;
};

struct turns {
    struct turns_conf conf;
    struct turn_mark mark;
    enum turn_state state;
    unsigned number; /* of this process's turns */
    char *prompt_file;
    struct output *output;          /* of the running turn */
    VEC(struct output *) lingering; /* of earlier ones, still held open by somebody */
    int wait_status;
    bool app_has_spoken; /* in this turn */
    enum app_state app_word;
    char *idle_message, *idle_uri; /* of an `idle` that waits for the end of the turn */
    bool is_stopping, is_interrupted;
    bool prompt_waits; /* for room on the disk: it is the next turn */
    struct timer *again;
    struct timer *over;
    loop_fn stopped;
    void *arg;
    struct refused refused[REFUSED_MAX];
    size_t n_refused;
};

static void on_over(void *arg);
static void on_again(void *arg);
static void on_exit_of_app(void *arg, int wait_status);
static void on_drained(void *arg);

enum err turns_new(const struct turns_conf *conf, struct turns **ret_turns, struct errctx *ctx)
{
    struct turn_mark mark;
    enum err e = turn_mark_load(&mark, conf->state_dir, ctx);
    if (e != ERR_OK)
        return e;
    struct turns *t = mem_alloc(sizeof(*t));
    t->conf = *conf;
    t->mark = mark;
    t->over = timer_new(conf->loop, on_over, t);
    t->again = timer_new(conf->loop, on_again, t);
    *ret_turns = t;
    return ERR_OK;
}

void turns_free(struct turns *t)
{
    if (t == NULL)
        return;
    output_free(t->output);
    for (size_t i = 0; i < t->lingering.n; i++)
        output_free(t->lingering.v[i]);
    vec_done(&t->lingering);
    timer_free(t->over);
    timer_free(t->again);
    free(t->prompt_file);
    free(t->idle_message);
    free(t->idle_uri);
    free(t);
}

/* ---- a turn begins ---- */

static enum err write_prompt(struct turns *t, const char *text, size_t n, struct errctx *ctx)
{
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(&path, "%s/prompt-%u", t->conf.run_dir, ++t->number);
    free(t->prompt_file);
    t->prompt_file = strbuf_detach(&path);
    int fd = open(t->prompt_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(ctx, ERR_IO, "cannot write %s: %s", t->prompt_file, strerror(errno));
    enum err e = file_write(fd, text, n, ctx);
    close(fd);
    return e;
}

static enum err start_command(struct turns *t, const char *text, struct errctx *ctx)
{
    const struct manifest *m = t->conf.manifest;
    struct app_env env;
    app_env_init(&env, m, NULL, t->conf.control_path);
    app_env_add_prompt(&env, text, t->prompt_file);
    struct child_spec spec = {
        .argv = m->command, .env = env.v.v, .dir = m->dir, .on_exit = on_exit_of_app, .arg = t};
    struct child *child;
    int fd;
    enum err e = children_start(t->conf.children, &spec, &child, &fd, ctx);
    app_env_done(&env);
    if (e != ERR_OK)
        return e;
    t->output = output_new(t->conf.loop, t->conf.status, fd);
    log_info("a turn has begun turn=%u pid=%d", t->number, (int)child_pid(child));
    return ERR_OK;
}

static void end_mark(struct turns *t)
{
    struct errctx ctx = {0};
    if (turn_mark_end(&t->mark, &ctx) != ERR_OK)
        log_warn("the end of the turn is not on disk, a next start will take it for interrupted "
                 "error=%s",
            LOG_Q(ctx.text));
}

/* The text is in its file, the mark on disk already. */
static enum err run(
    struct turns *t, const char *text, size_t n, const char *what, struct errctx *ctx)
{
    t->app_has_spoken = false;
    status_input(t->conf.status, text, n);
    status_app(t->conf.status, APP_WORKING, what);
    enum err e = start_command(t, text, ctx);
    if (e == ERR_OK) {
        t->state = TURN_RUNNING;
        return ERR_OK;
    }
    unlink(t->prompt_file);
    log_error("the command cannot be run error=%s", LOG_Q(ctx->text));
    status_app(t->conf.status, APP_FAILURE, ctx->text);
    end_mark(t);
    return e;
}

/* ---- a start ---- */

/* A disk that is full has taken nothing, so nothing has happened: it is tried again. */
static void put_prompt_off(struct turns *t, const char *why)
{
    unlink(t->prompt_file);
    log_warn("the prompt cannot be marked as delivered, trying again in %d ms error=%s",
        DISK_AGAIN_MS, LOG_Q(why));
    if (!t->prompt_waits)
        status_app(t->conf.status, APP_WORKING, "The prompt waits until the disk takes it.");
    t->prompt_waits = true;
    timer_start(t->again, DISK_AGAIN_MS, 0);
}

static void forget_prompt(struct turns *t)
{
    t->prompt_waits = false;
    free(t->conf.manifest->prompt);
    t->conf.manifest->prompt = mem_strdup("");
}

static void run_prompt(struct turns *t)
{
    const struct manifest *m = t->conf.manifest;
    struct errctx ctx = {0};
    size_t n = strlen(m->prompt);
    enum err e = write_prompt(t, m->prompt, n, &ctx);
    if (e == ERR_OK)
        e = turn_mark_prompt(&t->mark, m->prompt, &m->build_id, &ctx);
    if (e != ERR_OK) {
        put_prompt_off(t, ctx.text);
        return;
    }
    e = run(t, m->prompt, n, "Working on the prompt.", &ctx);
    (void)e; /* said and logged */
    forget_prompt(t);
}

static void on_again(void *arg)
{
    run_prompt(arg);
}

static void settle(struct turns *t, enum app_state state, const char *message)
{
    log_info("the prompt is not run state=%s why=%s", app_state_to_str(state), LOG_Q(message));
    status_app(t->conf.status, state, message);
    end_mark(t);
}

/* Nobody knows what ran: from here on it is known that this prompt is not to be run. */
static void settle_damaged(struct turns *t)
{
    const struct manifest *m = t->conf.manifest;
    struct errctx ctx = {0};
    if (turn_mark_prompt(&t->mark, m->prompt, &m->build_id, &ctx) != ERR_OK)
        log_warn("cannot replace the damaged record error=%s", LOG_Q(ctx.text));
    t->mark.was_damaged = false;
    settle(t, APP_IDLE, "The record of earlier runs was damaged; send a message to go on.");
}

void turns_begin(struct turns *t)
{
    struct manifest *m = t->conf.manifest;
    bool was_interrupted = t->mark.is_running;
    bool is_retry = was_interrupted && uuid_eq(&t->mark.running_build_id, &m->build_id);
    bool is_delivered = m->prompt[0] == '\0' || turn_mark_has_prompt(&t->mark, m->prompt);
    if (t->mark.was_damaged)
        settle_damaged(t);
    else if (is_retry)
        settle(t, APP_FAILURE, "The workspace stopped while the task was running.");
    else if (!is_delivered)
        run_prompt(t);
    else if (was_interrupted)
        settle(t, APP_IDLE, "Resumed. The last run was interrupted; send a message to go on.");
    else if (m->prompt[0] == '\0')
        settle(t, APP_IDLE, "Waiting for a message.");
    else
        settle(t, APP_IDLE, "Resumed. Waiting for a message.");
    if (!t->prompt_waits)
        forget_prompt(t);
}

/* ---- messages ---- */

static struct turn_answer refuse(enum refusal code, const char *detail)
{
    struct turn_answer answer = {.code = code};
    /* Never half a character: it goes out as text. */
    memcpy(
        answer.detail, detail, text_utf8_prefix(detail, strlen(detail), sizeof(answer.detail) - 1));
    return answer;
}

static const struct refused *find_refused(const struct turns *t, const struct uuid *send_id)
{
    size_t n = t->n_refused < REFUSED_MAX ? t->n_refused : REFUSED_MAX;
    for (size_t i = 0; i < n; i++)
        if (uuid_eq(&t->refused[i].send_id, send_id))
            return &t->refused[i];
    return NULL;
}

static struct turn_answer take(
    struct turns *t, const struct uuid *send_id, const char *content, size_t n)
{
    if (t->is_stopping)
        return refuse(REFUSAL_APP_REJECTED, "The workspace is stopping.");
    if (!turns_are_stable(t))
        return refuse(REFUSAL_APP_BUSY, "");
    struct errctx ctx = {0};
    enum err e = write_prompt(t, content, n, &ctx);
    if (e == ERR_OK)
        e = turn_mark_message(&t->mark, send_id, &t->conf.manifest->build_id, &ctx);
    if (e != ERR_OK) { /* the disk is full: nothing has happened, it may come again */
        unlink(t->prompt_file);
        return refuse(REFUSAL_OVERLOADED, ctx.text);
    }
    if (run(t, content, n, "Working on a message.", &ctx) != ERR_OK)
        return refuse(REFUSAL_APP_REJECTED, ctx.text);
    return (struct turn_answer){.code = REFUSAL_NONE};
}

struct turn_answer turns_message(
    struct turns *t, const struct uuid *send_id, const char *content, size_t n)
{
    const struct refused *known = find_refused(t, send_id);
    if (known != NULL)
        return known->answer;
    if (turn_mark_has_taken(&t->mark, send_id))
        return (struct turn_answer){.code = REFUSAL_NONE};
    struct turn_answer answer = take(t, send_id, content, n);
    if (answer.code != REFUSAL_NONE && answer.code != REFUSAL_OVERLOADED)
        t->refused[t->n_refused++ % REFUSED_MAX] =
            (struct refused){.send_id = *send_id, .answer = answer};
    return answer;
}

bool turns_have_taken(const struct turns *t, const struct uuid *send_id)
{
    return turn_mark_has_taken(&t->mark, send_id);
}

bool turns_are_stable(const struct turns *t)
{
    return t->state == TURN_STABLE && !t->prompt_waits;
}

static void keep_idle(struct turns *t, const char *message, const char *uri)
{
    free(t->idle_message);
    free(t->idle_uri);
    t->idle_message = mem_strdup(message);
    t->idle_uri = mem_strdup(uri);
}

enum err turns_app_says(
    struct turns *t, enum app_state state, const char *message, const char *uri, struct errctx *ctx)
{
    bool is_early = state == APP_IDLE && t->state != TURN_STABLE;
    enum err e = status_app_says(t->conf.status, is_early ? APP_WORKING : state, message, uri, ctx);
    if (e != ERR_OK)
        return e;
    if (is_early)
        keep_idle(t, message, uri);
    t->app_has_spoken = true;
    t->app_word = state;
    return ERR_OK;
}

/* ---- a turn ends ---- */

static void on_exit_of_app(void *arg, int wait_status)
{
    struct turns *t = arg;
    t->wait_status = wait_status;
    t->state = TURN_DRAINING;
    if (t->is_stopping)
        status_last_words(t->conf.status);
    output_finish(t->output, on_drained, t);
}

static void add_last_line(struct strbuf *message, const char *line)
{
    if (line[0] != '\0')
        strbuf_addf(message, ": %s", line);
}

static void say_failure(struct turns *t, const char *last_line)
{
    if (t->app_has_spoken && t->app_word == APP_FAILURE)
        return; /* its own words say more */
    scoped(strbuf_done) struct strbuf message;
    strbuf_init(&message);
    const char *signal_name =
        WIFSIGNALED(t->wait_status) ? sigabbrev_np(WTERMSIG(t->wait_status)) : NULL;
    if (signal_name != NULL)
        strbuf_addf(&message, "ended by SIG%s", signal_name);
    else if (WIFSIGNALED(t->wait_status))
        strbuf_addf(&message, "ended by signal %d", WTERMSIG(t->wait_status));
    else
        strbuf_addf(&message, "exit status %d", WEXITSTATUS(t->wait_status));
    add_last_line(&message, last_line);
    status_app(t->conf.status, APP_FAILURE, message.s);
}

/* A command that ends well has the last word on what that means, unless it says it still works. */
static void say_success(struct turns *t, const char *last_line)
{
    if (t->app_has_spoken && t->app_word == APP_IDLE)
        status_app_linked(t->conf.status, APP_IDLE, t->idle_message, t->idle_uri);
    if (t->app_has_spoken && t->app_word != APP_WORKING)
        return;
    status_app(t->conf.status, APP_COMPLETE, last_line[0] != '\0' ? last_line : "Done.");
}

static void say_end(struct turns *t)
{
    bool is_success = WIFEXITED(t->wait_status) && WEXITSTATUS(t->wait_status) == 0;
    bool has_completed = is_success && t->app_has_spoken && t->app_word == APP_COMPLETE;
    const char *last_line = output_last_line(t->output);
    if (t->is_interrupted && !has_completed)
        status_app(t->conf.status, APP_IDLE, "Paused while working.");
    else if (is_success)
        say_success(t, last_line);
    else
        say_failure(t, last_line);
}

static void put_output_away(struct turns *t)
{
    if (output_is_over(t->output))
        output_free(t->output);
    else
        *vec_push(&t->lingering) = t->output;
    t->output = NULL;
}

static void on_drained(void *arg)
{
    struct turns *t = arg;
    if (t->conf.hear_out != NULL)
        t->conf.hear_out(t->conf.arg);
    say_end(t);
    put_output_away(t);
    unlink(t->prompt_file);
    end_mark(t);
    t->state = TURN_STABLE;
    log_info("a turn has ended turn=%u wait_status=%d", t->number, t->wait_status);
    if (t->is_stopping)
        timer_start(t->over, 0, 0);
}

void turns_pump(struct turns *t)
{
    if (t->output != NULL)
        output_pump(t->output);
    for (size_t i = 0; i < t->lingering.n; i++) {
        output_pump(t->lingering.v[i]);
        if (output_is_over(t->lingering.v[i])) {
            output_free(t->lingering.v[i]);
            vec_remove_swap(&t->lingering, i);
            i--;
        }
    }
}

/* ---- stopping ---- */

static void on_over(void *arg)
{
    struct turns *t = arg;
    t->stopped(t->arg);
}

void turns_stop(struct turns *t, loop_fn stopped, void *arg)
{
    t->is_stopping = true;
    t->is_interrupted = t->state == TURN_RUNNING;
    t->prompt_waits = false; /* it is for the next start */
    timer_stop(t->again);
    t->stopped = stopped;
    t->arg = arg;
    if (t->state == TURN_DRAINING)
        status_last_words(t->conf.status);
    if (t->state == TURN_STABLE)
        timer_start(t->over, 0, 0);
}
