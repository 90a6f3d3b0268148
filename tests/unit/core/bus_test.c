/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a request gets one answer, through held calls, restarts of the server and changes of
 * leader. Method: servers and clients on one loop, over ipc sockets in a temporary directory and
 * over tcp on free ports.  The server answers a TaskSend by what its input says.
 */
#define UNIT_WITH_LOOP
#include "tests/unit/core/unit.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/strbuf.h"
#include "core/bus/admin.h"
#include "core/bus/bus.h"

#define HELD_MAX 4000

static struct loop *loop;
static struct errctx ctx;
static char dir[] = "/tmp/stint-bus-XXXXXX";

struct peer {
    struct bus_server *server;
    const char *leader_url; /* not NULL: it does not lead */
    struct bus_call *held[HELD_MAX];
    int n_held, hold_until, n_requests, n_probes;
    bool had_taken;   /* the requests that it refuses now */
    int n_again;      /* of them, requests that may have been heard before */
    unsigned version; /* of the last request */
    bool is_old;
};

static struct peer one, two;

static const char *ipc(const char *name)
{
    static char urls[4][120];
    static int n;
    char *url = urls[n++ % 4];
    snprintf(url, sizeof(urls[0]), "ipc://%s/%s", dir, name);
    return url;
}

static void release_held(struct peer *p)
{
    for (int i = 0; i < p->n_held; i++)
        bus_reply_status(p->held[i], REFUSAL_NONE, "");
    p->n_held = 0;
}

static void on_request(void *arg, struct bus_call *call, const Stint__V1__Envelope *request)
{
    struct peer *p = arg;
    bool is_probe = request->body_case == STINT__V1__ENVELOPE__BODY_LEADER_QUERY;
    p->n_requests += !is_probe;
    p->n_probes += is_probe;
    p->n_again += request->again;
    p->version = request->version;
    if (p->leader_url != NULL) {
        bus_reply_not_leader(call, p->leader_url, p->had_taken);
        return;
    }
    if (is_probe) { /* one that is too old for it answers so */
        bus_reply_status(call, p->is_old ? REFUSAL_MALFORMED : REFUSAL_NONE, "");
        return;
    }
    assert_int_equal(request->body_case, STINT__V1__ENVELOPE__BODY_TASK_SEND);
    const char *input = request->task_send->input;
    if (strcmp(input, "hold") == 0) {
        p->held[p->n_held++] = call;
        if (p->n_held == p->hold_until)
            release_held(p);
    } else {
        bus_reply_status(call, REFUSAL_NONE, input);
    }
}

static void listen_on(struct peer *p, const char *url)
{
    *p = (struct peer){0};
    if (bus_listen(loop, url, HELD_MAX, on_request, p, &p->server, &ctx) != ERR_OK)
        fail_msg("%s", ctx.text);
}

static struct bus_client *connect_to(const char *urls)
{
    struct bus_client *c;
    if (bus_connect(loop, urls, &c, &ctx) != ERR_OK)
        fail_msg("%s", ctx.text);
    return c;
}

/* ---- replies ---- */

static int awaited; /* stop the loop when so many have come */
static int n_codes[ERR_INTERNAL + 1];
static char last_detail[64];
static int n_said; /* replies with a detail */

static void on_reply(void *arg, enum err code, const Stint__V1__Envelope *reply)
{
    (void)arg;
    n_codes[code]++;
    assert_int_equal(reply != NULL, code == ERR_OK);
    if (reply != NULL) {
        assert_int_equal(reply->body_case, STINT__V1__ENVELOPE__BODY_STATUS);
        snprintf(last_detail, sizeof(last_detail), "%s", reply->status->detail);
        n_said += last_detail[0] != '\0';
    }
    if (--awaited == 0)
        loop_stop(loop);
}

static struct bus_request *ask(struct bus_client *c, const char *input, int64_t timeout_ms)
{
    Stint__V1__TaskSend body = STINT__V1__TASK_SEND__INIT;
    body.input = (char *)(uintptr_t)input;
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_TASK_SEND);
    e.task_send = &body;
    awaited++;
    return bus_send(c, &e, timeout_ms, on_reply, NULL);
}

static int set_up(void **state)
{
    (void)state;
    awaited = 0;
    memset(n_codes, 0, sizeof(n_codes));
    loop = loop_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

static void a_request_is_answered(void **state)
{
    (void)state;
    const char *urls[] = {ipc("a"), "tcp://127.0.0.1:0", "ws://127.0.0.1:0/bus"};
    for (size_t i = 0; i < 3; i++) {
        listen_on(&one, urls[i]);
        assert_null(strstr(bus_server_url(one.server), ":0"));
        struct bus_client *c = connect_to(bus_server_url(one.server));
        assert_false(bus_client_is_up(c));
        for (int n = 0; n < 500; n++)
            ask(c, "hello", 5000);
        assert_int_equal(n_codes[ERR_OK], 500 * i); /* never from inside */
        unit_run(loop);
        assert_true(bus_client_is_up(c));
        assert_string_equal(last_detail, "hello");
        assert_int_equal(one.n_requests, 500);
        bus_client_free(c);
        bus_server_free(one.server);
    }
    assert_int_equal(n_codes[ERR_OK], 1500);
}

static void thousands_of_calls_are_held(void **state)
{
    (void)state;
    listen_on(&one, ipc("held"));
    one.hold_until = 2000;
    struct bus_client *c = connect_to(ipc("held"));
    for (int i = 0; i < 1999; i++)
        ask(c, "hold", 20000);
    struct bus_request *beside = ask(c, "beside", 20000);
    (void)beside;
    awaited -= 1999; /* the one beside them is answered while the others are held */
    unit_run(loop);
    assert_string_equal(last_detail, "beside");
    while (one.n_held < 1999)
        unit_run_for(loop, 10);
    awaited = 1999;
    ask(c, "hold", 20000);
    unit_run(loop);
    assert_int_equal(n_codes[ERR_OK], 2001);
    assert_int_equal(one.n_requests, 2001);
    bus_client_free(c);
    bus_server_free(one.server);
}

static void at_the_limit_requests_wait(void **state)
{
    (void)state;
    one = (struct peer){.hold_until = 4};
    assert_int_equal(
        bus_listen(loop, ipc("limit"), 4, on_request, &one, &one.server, &ctx), ERR_OK);
    struct bus_client *c = connect_to(ipc("limit"));
    for (int i = 0; i < 40; i++)
        ask(c, "hold", 20000);
    unit_run(loop);
    assert_int_equal(n_codes[ERR_OK], 40);
    bus_client_free(c);
    bus_server_free(one.server);
}

static void a_request_survives_the_server(void **state)
{
    (void)state;
    listen_on(&one, ipc("restart"));
    struct bus_client *c = connect_to(ipc("restart"));
    for (int i = 0; i < 50; i++)
        ask(c, "hold", 20000);
    while (one.n_held < 50)
        unit_run_for(loop, 10);
    assert_int_equal(one.n_again, 0);
    bus_server_free(one.server);
    unit_run_for(loop, 50);
    assert_int_equal(n_codes[ERR_OK], 0);
    assert_false(bus_client_is_up(c));
    listen_on(&one, ipc("restart"));
    one.hold_until = 50;
    unit_run(loop);
    assert_int_equal(n_codes[ERR_OK], 50);
    assert_int_equal(one.n_again, 50); /* nobody knows what became of them the first time */
    bus_client_free(c);
    bus_server_free(one.server);
}

static void a_request_finds_the_leader(void **state)
{
    (void)state;
    char urls[300];
    listen_on(&one, ipc("one"));
    listen_on(&two, ipc("two"));
    snprintf(urls, sizeof(urls), "%s, %s,%s", ipc("nobody"), ipc("one"), ipc("two"));
    struct bus_client *c = connect_to(urls);
    one.leader_url = "";
    ask(c, "x", 20000);
    unit_run(loop);
    assert_int_equal(n_codes[ERR_OK], 1);
    assert_int_equal(two.n_requests, 1);

    /* It is remembered. */
    int before = one.n_requests;
    ask(c, "x", 20000);
    unit_run(loop);
    assert_int_equal(one.n_requests, before);

    /* The other way round, told by URL. */
    one.leader_url = NULL;
    two.leader_url = ipc("one");
    ask(c, "x", 20000);
    unit_run(loop);
    assert_int_equal(one.n_requests, before + 1);
    assert_int_equal(n_codes[ERR_OK], 3);
    assert_int_equal(one.n_again, 0);

    /* Whoever led until now may have done what it had taken in. */
    two.leader_url = NULL;
    one.leader_url = ipc("two");
    one.had_taken = true;
    ask(c, "x", 20000);
    unit_run(loop);
    assert_int_equal(two.n_again, 1);
    one.leader_url = NULL;
    two.leader_url = ipc("one");

    /* The leader dies, the other takes over. */
    two.leader_url = NULL;
    bus_server_free(one.server);
    ask(c, "x", 20000);
    unit_run(loop);
    assert_int_equal(n_codes[ERR_OK], 5);
    bus_client_free(c);
    bus_server_free(two.server);
}

static void a_leader_that_was_not_listed_is_learned(void **state)
{
    (void)state;
    listen_on(&one, ipc("seed"));
    listen_on(&two, ipc("unlisted"));
    one.leader_url = ipc("unlisted");
    struct bus_client *c = connect_to(ipc("seed"));
    ask(c, "x", 20000);
    unit_run(loop);
    assert_int_equal(n_codes[ERR_OK], 1);
    assert_int_equal(two.n_requests, 1);

    /* A name that leads nowhere, and more of them than are learned, cost time only. */
    for (int i = 0; i < 12; i++) {
        static char nowhere[40];
        snprintf(nowhere, sizeof(nowhere), "ipc:///nonexistent/%d", i);
        one.leader_url = i == 0 ? "carrier://x" : nowhere;
        two.leader_url = "";
        ask(c, "x", 150);
        unit_run(loop);
    }
    two.leader_url = NULL;
    ask(c, "x", 20000);
    unit_run(loop);
    assert_int_equal(n_codes[ERR_OK], 2);
    bus_client_free(c);
    bus_server_free(one.server);
    bus_server_free(two.server);
}

/* The leader is frozen: connected, and silent.  Another one leads by then. */
static void a_silent_leader_is_left(void **state)
{
    (void)state;
    char urls[300];
    for (int is_old = 0; is_old <= 1; is_old++) {
        listen_on(&one, ipc("frozen"));
        listen_on(&two, ipc("next"));
        two.is_old = is_old;
        two.leader_url = ipc("frozen");
        snprintf(urls, sizeof(urls), "%s,%s", ipc("frozen"), ipc("next"));
        struct bus_client *c = connect_to(urls);
        ask(c, "x", 20000);
        unit_run(loop);
        ask(c, "hold", 20000);
        /* While nobody else leads it is not asked of anybody again. */
        while (two.n_probes < 2)
            unit_run_for(loop, 10);
        assert_int_equal(one.n_held, 1);
        assert_int_equal(one.n_requests, 2);
        two.leader_url = NULL;
        two.hold_until = 1;
        unit_run(loop);
        assert_int_equal(n_codes[ERR_OK], 2 * (is_old + 1));
        release_held(&one); /* too late, and nobody minds */
        bus_client_free(c);
        bus_server_free(one.server);
        bus_server_free(two.server);
    }
}

/* Each knows a range of versions; they meet at the newest of both. */
static void versions_meet(void **state)
{
    (void)state;
    static const struct {
        struct wire_versions client, server;
        unsigned meet; /* 0: nowhere */
    } pairs[] = {
        {{1, 1}, {1, 1}, 1},
        {{1, 2}, {1, 1}, 1},
        {{1, 1}, {1, 2}, 1},
        {{2, 3}, {1, 2}, 2},
        {{1, 4}, {2, 3}, 3},
        {{2, 2}, {1, 1}, 0},
        {{1, 1}, {2, 2}, 0},
    };
    for (size_t i = 0; i < COUNT(pairs); i++) {
        listen_on(&one, ipc("versions"));
        struct bus_client *c = connect_to(ipc("versions"));
        bus_client_speak(c, &pairs[i].client);
        bus_server_speak(one.server, &pairs[i].server);
        for (int n = 0; n < 3; n++) {
            snprintf(last_detail, sizeof(last_detail), "none");
            for (int k = 0; k < 20; k++) /* of which each is told, and none is lost on the way */
                ask(c, "hello", 20000);
            n_said = 0;
            unit_run(loop);
            assert_int_equal(n_said, pairs[i].meet != 0 ? 20 : 0);
            assert_int_equal(one.version, pairs[i].meet);
            assert_string_equal(last_detail, pairs[i].meet != 0 ? "hello" : "");
        }
        bus_client_free(c);
        bus_server_free(one.server);
    }
}

static void deadlines_hold(void **state)
{
    (void)state;
    struct bus_client *c = connect_to(ipc("none"));
    ask(c, "x", 60);
    unit_run(loop);
    assert_int_equal(n_codes[ERR_BUS_DOWN], 1); /* nobody was there */

    listen_on(&one, ipc("none"));
    ask(c, "hold", 600);
    ask(c, "hold", 500);
    unit_run(loop);
    assert_int_equal(n_codes[ERR_TIMEOUT], 2);
    assert_int_equal(one.n_held, 2);
    release_held(&one); /* too late, and nobody minds */

    one.leader_url = "";
    ask(c, "x", 350);
    unit_run(loop);
    assert_int_equal(n_codes[ERR_BUS_DOWN], 2);
    assert_true(one.n_requests >= 4);
    bus_client_free(c);
    bus_server_free(one.server);
}

static void requests_can_be_canceled(void **state)
{
    (void)state;
    listen_on(&one, ipc("cancel"));
    struct bus_client *c = connect_to(ipc("cancel"));
    struct bus_request *early = ask(c, "hold", 20000);
    bus_request_cancel(early);
    struct bus_request *late = ask(c, "hold", 20000);
    ask(c, "hold", 20000);
    while (one.n_held < 2)
        unit_run_for(loop, 10);
    bus_request_cancel(late);
    awaited -= 2;
    release_held(&one);
    unit_run(loop);
    assert_int_equal(n_codes[ERR_OK], 1);
    ask(c, "hold", 20000);
    unit_run_for(loop, 20);
    bus_client_free(c); /* answers what is open */
    assert_int_equal(n_codes[ERR_CANCELED], 1);
    bus_server_free(one.server);
}

static void large_messages_pass_and_larger_ones_do_not(void **state)
{
    (void)state;
    listen_on(&one, ipc("large"));
    struct bus_client *c = connect_to(ipc("large"));
    char *text = malloc(BUS_MESSAGE_BYTES_MAX + 1);
    memset(text, 'x', BUS_MESSAGE_BYTES_MAX);
    text[BUS_MESSAGE_BYTES_MAX] = '\0';
    ask(c, text, 20000);
    unit_run(loop);
    assert_int_equal(n_codes[ERR_TOO_LARGE], 1);
    text[BUS_MESSAGE_BYTES_MAX - 1000] = '\0';
    ask(c, text, 20000);
    unit_run(loop);
    assert_int_equal(n_codes[ERR_OK], 1);
    free(text);
    bus_client_free(c);
    bus_server_free(one.server);
}

/* ---- listening ---- */

static void hang_up_at_once(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof(at.sun_path), "%s/%s", dir, name);
    for (int i = 0; i < 200; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fd, (struct sockaddr *)&at, sizeof(at));
        close(fd);
    }
}

/* nng 1.5 by itself stops serving new peers when one hangs up in the middle of the handshake. */
static void peers_that_hang_up_do_not_deafen_a_listener(void **state)
{
    (void)state;
    listen_on(&one, ipc("deaf"));
    struct bus_client *before = connect_to(ipc("deaf"));
    ask(before, "hello", 5000);
    unit_run(loop);
    for (int round = 0; round < 3; round++) {
        hang_up_at_once("deaf");
        unit_run_for(loop, 50);
    }
    struct bus_client *after = connect_to(ipc("deaf"));
    ask(before, "hello", 10000);
    ask(after, "hello", 10000);
    unit_run(loop);
    assert_int_equal(n_codes[ERR_OK], 3);
    bus_client_free(before);
    bus_client_free(after);
    bus_server_free(one.server);
}

static void a_dead_socket_is_replaced_and_a_living_one_is_not(void **state)
{
    (void)state;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof(at.sun_path), "%s/stale", dir);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    close(fd);
    listen_on(&one, ipc("stale"));

    struct bus_server *second;
    assert_int_equal(
        bus_listen(loop, ipc("stale"), 10, on_request, &two, &second, &ctx), ERR_CONFLICT);
    assert_non_null(strstr(ctx.text, "another process listens on"));
    bus_server_free(one.server);

    snprintf(at.sun_path, sizeof(at.sun_path), "%s/file", dir);
    close(open(at.sun_path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(
        bus_listen(loop, ipc("file"), 10, on_request, &two, &second, &ctx), ERR_CONFLICT);
    assert_non_null(strstr(ctx.text, "is not a socket"));
    unlink(at.sun_path);
}

static void bad_addresses_are_named(void **state)
{
    (void)state;
    struct bus_server *s;
    struct bus_client *c;
    assert_int_not_equal(bus_listen(loop, "carrier://x", 1, on_request, &one, &s, &ctx), ERR_OK);
    assert_non_null(strstr(ctx.text, "carrier://x"));
    assert_int_not_equal(
        bus_listen(loop, "ipc:///nonexistent/x", 1, on_request, &one, &s, &ctx), ERR_OK);
    assert_int_equal(bus_connect(loop, "", &c, &ctx), ERR_CONFIG);
    assert_int_equal(bus_connect(loop, "carrier://x", &c, &ctx), ERR_CONFIG);
    listen_on(&one, "tcp://127.0.0.1:0");
    assert_int_equal(
        bus_listen(loop, bus_server_url(one.server), 1, on_request, &two, &s, &ctx), ERR_CONFLICT);
    bus_server_free(one.server);
}

/* ---- admin ---- */

/* The whole answer to a GET, head and body. */
static void http_get(const char *url, const char *path, char *buf, size_t size)
{
    char request[200];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    to.sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    int n = snprintf(
        request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    assert_int_equal(write(fd, request, (size_t)n), n);
    size_t got = 0;
    ssize_t more;
    while ((more = read(fd, buf + got, size - 1 - got)) > 0)
        got += (size_t)more;
    buf[got] = '\0';
    close(fd);
}

static void admin_pages_answer(void **state)
{
    (void)state;
    static struct metric metrics[] = {
        {"stint_test_total", METRIC_COUNTER, "Tests.", 0}
    };
    static atomic_bool ready;
    struct admin *a;
    char text[2000];
    assert_int_equal(admin_listen("", &ready, metrics, 1, &a, &ctx), ERR_OK);
    assert_null(a);
    assert_int_equal(admin_listen("nowhere", &ready, metrics, 1, &a, &ctx), ERR_CONFIG);
    assert_int_equal(admin_listen("127.0.0.1:0", &ready, metrics, 1, &a, &ctx), ERR_OK);
    assert_null(strstr(admin_url(a), ":0"));
    http_get(admin_url(a), "/livez", text, sizeof(text));
    assert_non_null(strstr(text, "200"));
    http_get(admin_url(a), "/readyz", text, sizeof(text));
    assert_non_null(strstr(text, "503"));
    atomic_store(&ready, true);
    metric_add(&metrics[0], 5);
    http_get(admin_url(a), "/readyz", text, sizeof(text));
    assert_non_null(strstr(text, "200"));
    http_get(admin_url(a), "/metrics", text, sizeof(text));
    assert_non_null(strstr(text, "stint_test_total 5\n"));
    admin_free(a);
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    char cmd[100];
    snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
    return system(cmd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_answered),
        TEST(thousands_of_calls_are_held),
        TEST(at_the_limit_requests_wait),
        TEST(a_request_survives_the_server),
        TEST(a_request_finds_the_leader),
        TEST(a_leader_that_was_not_listed_is_learned),
        TEST(a_silent_leader_is_left),
        TEST(versions_meet),
        TEST(deadlines_hold),
        TEST(requests_can_be_canceled),
        TEST(large_messages_pass_and_larger_ones_do_not),
        TEST(peers_that_hang_up_do_not_deafen_a_listener),
        TEST(a_dead_socket_is_replaced_and_a_living_one_is_not),
        TEST(bad_addresses_are_named),
        TEST(admin_pages_answer),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
