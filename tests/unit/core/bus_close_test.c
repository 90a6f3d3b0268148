/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: closing comes back, whatever nng is at.  Method: a server that floods its client with
 * answers nobody asked for; at nearly every close of such a client nng 1.5 forgets a receive and
 * closes nothing any more in this process.  Hence a program of its own.
 */
#define UNIT_WITH_LOOP
#include "tests/unit/core/unit.h"

#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/bus/admin.h"
#include "core/bus/bus.h"
#include "core/bus/bus_close.h"

/* What nng forgets it does not free either. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libnng.so";
}

static struct loop *loop;
static struct errctx ctx;
static struct sockaddr_un at = {.sun_family = AF_UNIX};
static atomic_bool over;

/* Answers without being asked, a word at a time and without end. */
static void *run_flood(void *arg)
{
    static const char greeting[] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
    static const char answer[] = {
        1, 0, 0, 0, 0, 0, 0, 0, 8, (char)0x80, 1, 2, 3, 'm', 'o', 'r', 'e'};
    while (!atomic_load(&over)) {
        int fd = accept(*(int *)arg, NULL, NULL);
        ssize_t n = send(fd, greeting, sizeof(greeting), MSG_NOSIGNAL);
        while (n > 0)
            n = send(fd, answer, sizeof(answer), MSG_NOSIGNAL);
        close(fd);
    }
    return NULL;
}

static struct bus_client *flooded_client(void)
{
    char url[sizeof(at.sun_path) + 8];
    struct bus_client *client;
    snprintf(url, sizeof(url), "ipc://%s", at.sun_path);
    assert_int_equal(bus_connect(loop, url, &client, &ctx), ERR_OK);
    while (!bus_client_is_up(client))
        unit_run_for(loop, 1);
    return client;
}

static void closing_amid_messages_comes_back(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct bus_client *client = flooded_client();
        int64_t before = clock_mono_ms();
        bus_client_free(client);
        assert_in_range(clock_mono_ms() - before, 0, 4LL * BUS_CLOSE_MS);
        unit_run_for(loop, 1);
    }
}

static bool comes_up(const char *url)
{
    struct bus_client *client;
    assert_int_equal(bus_connect(loop, url, &client, &ctx), ERR_OK);
    for (int i = 0; i < 2000 && !bus_client_is_up(client); i++)
        unit_run_for(loop, 1);
    bool is_up = bus_client_is_up(client);
    bus_client_free(client);
    return is_up;
}

static void on_request(void *arg, struct bus_call *call, const Stint__V1__Envelope *request)
{
    (void)arg;
    (void)request;
    bus_reply_status(call, REFUSAL_NONE, "");
}

/* Then as before: new sockets work, and closing them comes back too. */
static void what_comes_after_works(void **state)
{
    (void)state;
    char url[sizeof(at.sun_path) + 8];
    atomic_bool ready = true;
    struct bus_server *server;
    struct admin *admin;
    snprintf(url, sizeof(url), "ipc://%.90s-2", at.sun_path);
    assert_int_equal(bus_listen(loop, url, 4, on_request, NULL, &server, &ctx), ERR_OK);
    assert_int_equal(admin_listen("127.0.0.1:0", &ready, NULL, 0, &admin, &ctx), ERR_OK);
    assert_true(comes_up(url));
    int64_t before = clock_mono_ms();
    bus_server_free(server);
    admin_free(admin);
    assert_in_range(clock_mono_ms() - before, 0, 4LL * BUS_CLOSE_MS);
}

int main(void)
{
    pthread_t thread;
    snprintf(at.sun_path, sizeof(at.sun_path), "/tmp/stint-flood-%d", (int)getpid());
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 8) != 0)
        return 1;
    pthread_create(&thread, NULL, run_flood, &fd);
    loop = loop_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closing_amid_messages_comes_back),
        cmocka_unit_test(what_comes_after_works),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    loop_free(loop);
    atomic_store(&over, true);
    shutdown(fd, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(fd);
    unlink(at.sun_path);
    return failed;
}
