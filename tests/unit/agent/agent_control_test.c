/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the control socket answers every line, good or not, with one line that says what is wrong,
 * and nothing that a client does or leaves undone hurts the others.
 * Method: the real socket on a real loop; clients are plain sockets in the same process.
 */
#include "tests/unit/agent/lab.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "agent/control.h"
#include "agent/status.h"
#include "core/base/cleanup.h"

#define CLIENTS_MAX 100

struct client {
    int fd;
    struct strbuf got;
    bool is_closed;
};

struct bench {
    struct lab lab;
    struct loop *loop;
    struct control *control;
    char path[128];
    struct client clients[CLIENTS_MAX];
    size_t n_clients;
    char said[256];
    unsigned n_reports;
    bool is_full;
};

static enum err on_report(void *arg, const struct control_report *r, struct errctx *ctx)
{
    struct bench *b = arg;
    enum app_state known;
    enum err e = status_check_state(r->state, &known, ctx);
    if (e == ERR_OK)
        e = status_check(r->message, r->uri, ctx);
    if (e != ERR_OK)
        return e;
    if (b->is_full)
        return err_set(ctx, ERR_FULL, "too much waits");
    b->n_reports++;
    snprintf(b->said, sizeof(b->said), "%s|%s|%s%s%s", r->state, r->message, r->uri,
        r->slug != NULL ? "|" : "", r->slug != NULL ? r->slug : "");
    return ERR_OK;
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    struct errctx ctx = {0};
    lab_open(&b->lab);
    b->loop = loop_new();
    snprintf(b->path, sizeof(b->path), "%s/agent.sock", b->lab.path);
    lab_write(&b->lab, "agent.sock", "", 0); /* left over */
    assert_int_equal(control_listen(b->loop, b->path, on_report, b, &b->control, &ctx), ERR_OK);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    for (size_t i = 0; i < b->n_clients; i++) {
        close(b->clients[i].fd);
        strbuf_done(&b->clients[i].got);
    }
    control_free(b->control);
    loop_free(b->loop);
    lab_close(&b->lab);
    free(b);
    return 0;
}

static struct client *dial(struct bench *b)
{
    struct client *c = &b->clients[b->n_clients++];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, b->path);
    strbuf_init(&c->got);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(c->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return c;
}

static bool all_are_closed(void *arg)
{
    struct bench *b = arg;
    bool all = true;
    for (size_t i = 0; i < b->n_clients; i++) {
        struct client *c = &b->clients[i];
        char block[4096];
        ssize_t n;
        while (!c->is_closed && (n = read(c->fd, block, sizeof(block))) >= 0) {
            strbuf_add(&c->got, block, (size_t)n);
            c->is_closed = n == 0;
        }
        all &= c->is_closed;
    }
    return all;
}

static const char *ask(struct bench *b, const char *line)
{
    struct client *c = dial(b);
    assert_int_equal(write(c->fd, line, strlen(line)), (ssize_t)strlen(line));
    lab_run_until(b->loop, all_are_closed, b);
    return c->got.s;
}

#define GOOD "{\"op\":\"report\",\"state\":\"working\",\"message\":\"testing\"}\n"

static void test_report(void **state)
{
    struct bench *b = *state;
    assert_string_equal(ask(b, GOOD), "{\"ok\":true}\n");
    assert_string_equal(b->said, "working|testing|");
    assert_string_equal(
        ask(b, "{\"op\":\"report\",\"state\":\"complete\",\"message\":\"caf\xc3\xa9\","
               "\"uri\":\"https://example.com/1\"}\n"),
        "{\"ok\":true}\n");
    assert_string_equal(b->said, "complete|caf\xc3\xa9|https://example.com/1");
}

/* With ' for ", to be read more easily. */
#define REPORT(rest) "{'op':'report'," rest "}"
#define IDLE(rest)   REPORT("'state':'idle'," rest)

static const struct {
    const char *line, *says;
} wrong[] = {
    {"",                                     "not a line of JSON"                },
    {"hello",                                "not a line of JSON"                },
    {"[]",                                   "'op' is missing"                   },
    {"{}",                                   "'op' is missing"                   },
    {"{'op':1}",                             "'op' must be a text"               },
    {"{'op':'dance'}",                       "the operation 'dance' is not known"},
    {"{'op':'report'}",                      "'state' is missing"                },
    {REPORT("'state':'idle'"),               "'message' is missing"              },
    {IDLE("'message':[]"),                   "'message' must be a text"          },
    {REPORT("'state':'busy','message':'x'"), "working, idle, complete, failure"  },
    {IDLE("'message':''"),                   "is empty"                          },
    {IDLE("'message':'a\\nb'"),              "line break"                        },
    {IDLE("'message':'a\\u0000b'"),          "not a line of JSON"                },
    {IDLE("'message':'x','uri':'a b'"),      "white space"                       },
    {IDLE("'message':'\xff'"),               "decode"                            },
};

static void replace(char *text, char from, char to)
{
    for (; *text != '\0'; text++)
        if (*text == from)
            *text = to;
}

static void test_wrong_lines(void **state)
{
    struct bench *b = *state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        char line[256], answer[512], *plain = answer;
        snprintf(line, sizeof(line), "%s\n", wrong[i].line);
        replace(line, '\'', '"');
        for (const char *p = ask(b, line); *p != '\0'; p++)
            if (*p != '\\')
                *plain++ = *p;
        *plain = '\0';
        replace(answer, '"', '\'');
        if (strncmp(answer, "{'ok':false,'err':'INVALID'", 27) != 0 ||
            strstr(answer, wrong[i].says) == NULL)
            fail_msg("row %zu: %s", i, answer);
    }
    assert_int_equal(b->n_reports, 0);
}

static void test_message_of_161_bytes(void **state)
{
    struct bench *b = *state;
    for (int n = 160; n <= 161; n++) {
        char line[300];
        snprintf(line, sizeof(line),
            "{\"op\":\"report\",\"state\":\"idle\",\"message\":\"%0*d\"}\n", n, 0);
        const char *answer = ask(b, line);
        if (n == 160)
            assert_string_equal(answer, "{\"ok\":true}\n");
        else
            assert_non_null(strstr(answer, "161 bytes; at most 160"));
    }
}

static void test_full(void **state)
{
    struct bench *b = *state;
    b->is_full = true;
    assert_string_equal(
        ask(b, GOOD), "{\"ok\":false,\"err\":\"FULL\",\"error\":\"too much waits\"}\n");
}

static void test_endless_line(void **state)
{
    struct bench *b = *state;
    char line[20 * 1024 + 1];
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    assert_non_null(strstr(ask(b, line), "TOO_LARGE"));
}

static bool nothing_is_left(void *arg)
{
    struct bench *b = arg;
    return b->n_reports == 1;
}

static void test_line_in_pieces(void **state)
{
    struct bench *b = *state;
    struct client *c = dial(b);
    assert_int_equal(write(c->fd, GOOD, 10), 10);
    /* Others are served meanwhile. */
    struct client *other = dial(b);
    assert_int_equal(write(other->fd, GOOD, strlen(GOOD)), strlen(GOOD));
    lab_run_until(b->loop, nothing_is_left, b);
    assert_int_equal(write(c->fd, &GOOD[10], strlen(GOOD) - 10), strlen(GOOD) - 10);
    lab_run_until(b->loop, all_are_closed, b);
    assert_string_equal(c->got.s, "{\"ok\":true}\n");
    assert_int_equal(b->n_reports, 2);
}

static void test_line_without_end(void **state)
{
    struct bench *b = *state;
    struct client *c = dial(b);
    assert_int_equal(write(c->fd, GOOD, strlen(GOOD) - 1), strlen(GOOD) - 1);
    shutdown(c->fd, SHUT_WR);
    lab_run_until(b->loop, all_are_closed, b);
    assert_string_equal(c->got.s, "{\"ok\":true}\n");
}

static void test_clients_that_leave(void **state)
{
    struct bench *b = *state;
    for (int i = 0; i < 20; i++) {
        struct client *c = dial(b);
        if (i % 2 == 0)
            assert_int_equal(write(c->fd, GOOD, strlen(GOOD)), strlen(GOOD));
        close(c->fd);
        c->fd = -1;
        c->is_closed = true;
    }
    assert_string_equal(ask(b, GOOD), "{\"ok\":true}\n");
}

static void test_too_many_at_once(void **state)
{
    struct bench *b = *state;
    for (int i = 0; i < CONTROL_CONNECTIONS_MAX + 2; i++)
        dial(b);
    for (size_t i = 0; i < b->n_clients; i++)
        if (write(b->clients[i].fd, GOOD, strlen(GOOD)) < 0)
            fail();
    lab_run_until(b->loop, all_are_closed, b);
    unsigned n_taken = 0, n_refused = 0;
    for (size_t i = 0; i < b->n_clients; i++) {
        n_taken += strstr(b->clients[i].got.s, "true") != NULL;
        n_refused += strstr(b->clients[i].got.s, "FULL") != NULL;
    }
    assert_true(n_taken >= CONTROL_CONNECTIONS_MAX);
    assert_int_equal(n_taken + n_refused, b->n_clients);
}

static void test_silent_client_is_sent_away(void **state)
{
    struct bench *b = *state;
    struct client *c = dial(b);
    lab_run_until(b->loop, all_are_closed, b);
    assert_non_null(strstr(c->got.s, "TIMEOUT"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_report, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_message_of_161_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_endless_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_line_in_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_line_without_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clients_that_leave, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silent_client_is_sent_away, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
