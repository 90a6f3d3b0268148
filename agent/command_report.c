/* SPDX-License-Identifier: Apache-2.0 */
/* stint-agent report: one line to the agent's control socket, one line back. */
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/command.h"
#include "agent/file.h"
#include "agent/status.h"
#include "core/base/cleanup.h"
#include "core/base/strbuf.h"

#define ANSWER_SECONDS   10
#define ANSWER_BYTES_MAX 4096

static const char help[] =
    "Usage: stint-agent report --state STATE --message TEXT [--uri URI] [--slug APP]\n"
    "\n"
    "Tells the people who wait how the work is going.  For use inside a workspace of Stint, where\n"
    "STINT_AGENT_SOCKET is set.\n"
    "\n"
    "  --state STATE    working, idle (needs attention), complete or failure\n"
    "  --message TEXT   what is going on: one line of at most 160 bytes\n"
    "  --uri URI        a link to the work: a pull request, a page; at most 2,048 bytes\n"
    "  --slug APP       which app it is about [the task's]\n"
    "\n"
    "Examples:\n"
    "  stint-agent report --state working --message \"Running the tests\"\n"
    "  stint-agent report --state complete --message \"Fixed the login bug\" \\\n"
    "      --uri https://example.com/pull/42\n"
    "\n"
    "Exit status: 0 taken; 64 not well formed; 69 no agent there; 74 the disk; 75 try again "
    "later.\n";

struct words {
    const char *state, *message, *uri;
    const char *slug; /* NULL: the task's app */
};

static enum err check(const struct words *w, struct errctx *ctx)
{
    enum app_state ignored;
    if (w->state == NULL || w->message == NULL)
        return err_set(ctx, ERR_USAGE, "--state and --message are needed, see --help");
    enum err e = status_check_state(w->state, &ignored, ctx);
    return e != ERR_OK ? e : status_check(w->message, w->uri, ctx);
}

static enum err dial(int *ret_fd, struct errctx *ctx)
{
    const char *path = getenv("STINT_AGENT_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || path[0] == '\0')
        return err_set(ctx, ERR_UNAVAILABLE,
            "STINT_AGENT_SOCKET is not set; this command works inside a workspace of Stint");
    if (strlen(path) >= sizeof(address.sun_path))
        return err_set(ctx, ERR_UNAVAILABLE, "STINT_AGENT_SOCKET is too long");
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        err_set(ctx, ERR_UNAVAILABLE, "the agent at %s does not answer: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return ERR_UNAVAILABLE;
    }
    const struct timeval wait = {.tv_sec = ANSWER_SECONDS};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    *ret_fd = fd;
    return ERR_OK;
}

static enum err send_line(int fd, const struct words *w, struct errctx *ctx)
{
    json_t *request = json_pack("{s:s, s:s, s:s, s:s, s:s*}", "op", "report", "state", w->state,
        "message", w->message, "uri", w->uri, "slug", w->slug);
    scoped_free char *text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    if (text == NULL)
        return err_set(ctx, ERR_INVALID, "the report is not text");
    enum err e = file_write(fd, text, strlen(text), ctx);
    return e != ERR_OK ? e : file_write(fd, "\n", 1, ctx);
}

static enum err err_of(const char *name)
{
    static const enum err all[] = {
#define ERR(sym, exit_status, http_status, retry, text) ERR_##sym,
#include "core/base/err.def"
    };
    for (size_t i = 0; i < COUNT(all); i++)
        if (strcmp(name, err_name(all[i])) == 0)
            return all[i];
    return ERR_FAILED;
}

static enum err understand(const char *line, struct errctx *ctx)
{
    json_t *answer = json_loads(line, 0, NULL);
    if (json_is_true(json_object_get(answer, "ok"))) {
        json_decref(answer);
        return ERR_OK;
    }
    const char *name = json_string_value(json_object_get(answer, "err"));
    const char *error = json_string_value(json_object_get(answer, "error"));
    enum err e = err_set(ctx, name != NULL ? err_of(name) : ERR_FAILED, "%s",
        error != NULL ? error : "the agent's answer is not understood");
    json_decref(answer);
    return e;
}

static enum err read_answer(int fd, struct errctx *ctx)
{
    char line[ANSWER_BYTES_MAX];
    size_t n = 0;
    ssize_t got = 0;
    while (n < sizeof(line) - 1 && (got = read(fd, line + n, sizeof(line) - 1 - n)) > 0)
        n += (size_t)got;
    line[n] = '\0';
    if (n == 0)
        return err_set(ctx, ERR_TIMEOUT, "the agent gave no answer: %s",
            got < 0 ? strerror(errno) : "it hung up");
    return understand(line, ctx);
}

static enum err report(const struct words *w, struct errctx *ctx)
{
    int fd = -1;
    enum err e = check(w, ctx);
    if (e == ERR_OK)
        e = dial(&fd, ctx);
    if (e != ERR_OK)
        return e;
    e = send_line(fd, w, ctx);
    if (e == ERR_OK)
        e = read_answer(fd, ctx);
    close(fd);
    return e;
}

int command_report(int argc, char **argv)
{
    struct words words = {.uri = ""};
    const struct command_flag flags[] = {
        {"--state",   &words.state  },
        {"--message", &words.message},
        {"--uri",     &words.uri    },
        {"--slug",    &words.slug   },
    };
    struct errctx ctx = {0};
    bool wants_help = false;
    enum err e = command_flags(argc, argv, flags, COUNT(flags), &wants_help, &ctx);
    if (wants_help) {
        fputs(help, stdout);
        return 0;
    }
    if (e == ERR_OK)
        e = report(&words, &ctx);
    return e == ERR_OK ? 0 : command_fail("report", e, &ctx);
}
