/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: readers who do not read lose their stream and nobody else's; a stopping server ends.
 * Method: a real server on a free port, clients that are plain sockets.
 */
#include "tests/unit/agentapi/agentapi_lab.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/agentapi/http_server.h"
#include "core/base/clock.h"
#include "core/base/mem.h"

#define DEADLINE_MS 20000

struct world {
    struct loop *loop;
    struct http_server *server;
    struct timer *timer;
    int port;
    struct exchange *streams[4];
    size_t n_streams, n_gone;
    bool is_stopped;
    int64_t until;
    bool (*is_true)(struct world *w);
};

static size_t body_max(void *arg, const struct exchange *x)
{
    (void)arg, (void)x;
    return 10;
}

static void on_gone(void *arg)
{
    struct world *w = arg;
    w->n_gone++;
}

static void handle(void *arg, struct exchange *x)
{
    struct world *w = arg;
    if (strcmp(exchange_path(x), "/stream") != 0) {
        const struct strbuf *body = exchange_body(x);
        exchange_reply(x, exchange_is_too_large(x) ? 413 : 200, "text/plain", body->s, body->len);
        return;
    }
    exchange_on_gone(x, on_gone, w);
    exchange_stream(x, "text/event-stream");
    w->streams[w->n_streams++] = x;
}

static int client(struct world *w, const char *request)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)w->port)};
    inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void look(void *arg)
{
    struct world *w = arg;
    if (w->is_true(w) || clock_mono_ms() > w->until)
        loop_stop(w->loop);
}

static void wait_for(struct world *w, bool (*is_true)(struct world *w))
{
    w->is_true = is_true;
    w->until = clock_mono_ms() + DEADLINE_MS;
    timer_start(w->timer, 0, 5);
    loop_run(w->loop);
    timer_stop(w->timer);
    assert_true(is_true(w));
}

static bool has_two_streams(struct world *w)
{
    return w->n_streams == 2;
}

static bool is_one_gone(struct world *w)
{
    return w->n_gone == 1;
}

static bool is_stopped(struct world *w)
{
    return w->is_stopped;
}

static void on_stopped(void *arg)
{
    ((struct world *)arg)->is_stopped = true;
}

static void begin(struct world *w)
{
    *w = (struct world){.loop = loop_new()};
    const struct http_handler handler = {body_max, handle, w};
    w->server = http_server_new(w->loop, &handler);
    w->timer = timer_new(w->loop, look, w);
    assert_int_equal(http_server_listen(w->server, "127.0.0.1", &w->port, NULL), ERR_OK);
}

static void end(struct world *w)
{
    http_server_free(w->server);
    timer_free(w->timer);
    loop_free(w->loop);
}

static size_t drain(int fd)
{
    char block[65536];
    size_t total = 0;
    ssize_t n;
    while ((n = read(fd, block, sizeof(block))) > 0)
        total += (size_t)n;
    return total;
}

static void pass_a_turn(struct world *w)
{
    w->is_true = has_two_streams; /* true already: one turn */
    w->until = clock_mono_ms() + DEADLINE_MS;
    timer_start(w->timer, 0, 1);
    loop_run(w->loop);
    timer_stop(w->timer);
}

static void test_reader_that_does_not_read_loses_its_stream(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    int reads = client(&w, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    int sleeps = client(&w, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(&w, has_two_streams);
    size_t n = 16 * 1024, sent = 0, got = 0;
    scoped_free char *text = mem_alloc(n);
    struct http_piece *piece = http_piece_new(text, n);
    while (w.n_gone == 0 && sent < 4000) {
        for (size_t i = 0; i < w.n_streams; i++)
            exchange_push(w.streams[i], piece);
        sent++;
        pass_a_turn(&w);
        got += drain(reads);
    }
    http_piece_unref(piece);
    wait_for(&w, is_one_gone);
    assert_true(sent > HTTP_STREAM_EVENTS);
    assert_true(sent < 4000);
    for (int i = 0; i < 50 && got < sent * n; i++) {
        pass_a_turn(&w);
        got += drain(reads);
    }
    assert_true(got >= sent * n); /* and a little for the chunks */
    w.n_gone = 0;
    close(reads);
    close(sleeps);
    wait_for(&w, is_one_gone);
    end(&w);
}

static void test_stop_ends_streams_and_idle_connections(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    int idle = client(&w, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    int first = client(&w, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    int second = client(&w, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(&w, has_two_streams);
    http_server_stop(w.server, 5000, on_stopped, &w);
    int64_t began = clock_mono_ms();
    wait_for(&w, is_stopped);
    assert_true(clock_mono_ms() - began < 4000);
    assert_int_equal(w.n_gone, 2);
    close(idle);
    close(first);
    close(second);
    end(&w);
}

static void test_half_a_request_does_not_hold_a_stop(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    int half = client(&w, "GET /stream HTTP");
    int first = client(&w, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    int second = client(&w, "GET /stream HTTP/1.0\r\n\r\n");
    wait_for(&w, has_two_streams);
    http_server_stop(w.server, 100, on_stopped, &w);
    wait_for(&w, is_stopped);
    close(half);
    close(first);
    close(second);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reader_that_does_not_read_loses_its_stream),
        cmocka_unit_test(test_stop_ends_streams_and_idle_connections),
        cmocka_unit_test(test_half_a_request_does_not_hold_a_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
