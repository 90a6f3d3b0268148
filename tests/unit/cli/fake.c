/* SPDX-License-Identifier: Apache-2.0 */
/* fake.c - canned answers instead of libcurl. */
#include "tests/unit/cli/fake.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "core/base/mem.h"

#define URL "http://gateway"

static struct fake *fake_of(struct http *h)
{
    return (struct fake *)(void *)h;
}

static void keep(struct fake *f, const struct http_request *rq)
{
    free(f->last_body);
    f->last_body = rq->body != NULL ? mem_strndup(rq->body, rq->body_bytes) : NULL;
    f->last_body_bytes = rq->body_bytes;
    (void)snprintf(f->last_token, sizeof(f->last_token), "%s", rq->token != NULL ? rq->token : "");
}

static enum err exchange(
    struct http *h, const struct http_request *rq, struct http_reply *reply, struct errctx *ctx)
{
    struct fake *f = fake_of(h);
    char request[512];
    if (f->down != ERR_OK)
        return err_set(ctx, f->down, "nobody listens");
    assert_memory_equal(rq->url, URL, strlen(URL));
    (void)snprintf(request, sizeof(request), "%s %s", rq->method, rq->url + strlen(URL));
    if (f->n_asked == f->n_answers)
        fail_msg("unexpected request %s", request);
    assert_string_equal(request, f->answers[f->n_asked].request);
    keep(f, rq);
    reply->status = f->answers[f->n_asked].status;
    strbuf_addstr(&reply->body, f->answers[f->n_asked].body);
    f->n_asked++;
    return ERR_OK;
}

static enum err stream(struct http *h, const struct http_request *rq, const struct http_sink *sink,
    struct http_reply *reply, struct errctx *ctx)
{
    struct fake *f = fake_of(h);
    if (f->down != ERR_OK)
        return err_set(ctx, f->down, "nobody listens");
    if (!f->has_streams) {
        reply->status = 404;
        return ERR_OK;
    }
    if (f->n_asked == f->n_answers)
        fail_msg("unexpected stream %s", rq->url);
    size_t i = f->n_asked++;
    assert_memory_equal(f->answers[i].request, "STREAM ", 7);
    assert_string_equal(rq->url + strlen(URL), f->answers[i].request + 7);
    assert_string_equal(rq->last_event_id, f->answers[i].last_event_id);
    reply->status = f->answers[i].status;
    reply->is_stream = reply->status == 200;
    const char *body = f->answers[i].body;
    if (!reply->is_stream)
        strbuf_addstr(&reply->body, body);
    else if (!sink->on_data(sink->arg, body, strlen(body)))
        return ERR_OK;
    if (f->answers[i].interrupts)
        (void)raise(SIGINT);
    if (!sink->on_tick(sink->arg))
        return ERR_OK;
    return f->answers[i].broken == ERR_OK ? ERR_OK : err_set(ctx, f->answers[i].broken, "broken");
}

static void close_nothing(struct http *h)
{
    (void)h;
}

static void count_waiting(struct cli *cli, int64_t ms)
{
    fake_of(cli->http)->waited_ms += ms;
}

void fake_open(struct fake *f)
{
    memset(f, 0, sizeof(*f));
    f->http = (struct http){.exchange = exchange, .stream = stream, .close = close_nothing};
    unsetenv("STINT_URL");
    unsetenv("STINT_TOKEN");
    unsetenv("CODER_URL");
    unsetenv("CODER_SESSION_TOKEN");
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    cli_init(&f->cli);
    f->cli.in = fopen("/dev/null", "r");
    f->cli.out = open_memstream(&f->out, &f->out_size);
    f->cli.err = open_memstream(&f->err, &f->err_size);
    f->cli.in_is_terminal = f->cli.out_is_terminal = f->cli.err_is_terminal = f->cli.colour = false;
    f->cli.width = 0;
    f->cli.http = &f->http;
    f->cli.url = mem_strdup(URL);
    f->cli.token = mem_strdup("secret");
    f->cli.wait_ms = count_waiting;
}

void fake_close(struct fake *f)
{
    fclose(f->cli.in);
    fclose(f->cli.out);
    fclose(f->cli.err);
    free(f->out);
    free(f->err);
    free(f->last_body);
    cli_done(&f->cli);
    interrupt_done();
}

void fake_answer(struct fake *f, const char *request, long status, const char *body)
{
    assert_true(f->n_answers < FAKE_ANSWERS_MAX);
    f->answers[f->n_answers].request = request;
    f->answers[f->n_answers].status = status;
    f->answers[f->n_answers++].body = body;
}

void fake_stream(
    struct fake *f, const char *path, const char *last_event_id, const char *body, enum err broken)
{
    f->has_streams = true;
    f->answers[f->n_answers].last_event_id = last_event_id;
    f->answers[f->n_answers].broken = broken;
    fake_answer(f, path, 200, body);
}

void fake_interrupt(struct fake *f)
{
    f->answers[f->n_answers - 1].interrupts = true;
}

void fake_type(struct fake *f, const char *text)
{
    fclose(f->cli.in);
    f->cli.in = tmpfile();
    fputs(text, f->cli.in);
    rewind(f->cli.in);
}

int fake_run(struct fake *f, ...)
{
    char *argv[32] = {(char *)(uintptr_t) "stint"};
    int argc = 1;
    va_list ap;
    va_start(ap, f);
    while (argc < 31 && (argv[argc] = va_arg(ap, char *)) != NULL)
        argc++;
    va_end(ap);
    int status = command_main(&f->cli, &stint_root, argc, argv);
    fflush(f->cli.out);
    fflush(f->cli.err);
    assert_int_equal(f->n_asked, f->n_answers);
    return status;
}
