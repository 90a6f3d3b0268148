/* SPDX-License-Identifier: Apache-2.0 */
/* message.c - the calls about messages that wait. */
#include "cli/message.h"

#include <string.h>

#include "cli/api.h"
#include "cli/task.h"
#include "core/base/uuid.h"

#define TRIES 4
#define PAUSE 500

const struct column message_columns[] = {
    {"id",           "id", COLUMN_TEXT},
    {"state",   "state", COLUMN_STATUS},
    {"place",        "position", COLUMN_TEXT},
    {"created", "created_at", COLUMN_AGE},
    {"created at",        "created_at", COLUMN_TEXT},
    {"over",   "finished_at", COLUMN_AGE},
    {"over at",      "finished_at", COLUMN_TEXT},
    {"detail",    "detail", COLUMN_TEXT},
    {"content",   "content", COLUMN_TEXT},
    {0  },
};

bool message_waits(const json_t *message)
{
    return strcmp(table_string(message, "state"), "queued") == 0;
}

json_int_t message_place(const json_t *message)
{
    return json_integer_value(json_object_get(message, "position"));
}

/* `id` NULL: all of the task's. */
static enum err call(struct cli *cli, const char *method, const json_t *task, const char *id,
    const json_t *body, json_t **ret)
{
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(&path, "/api/stint/v1/tasks/%s/messages", table_string(task, "id"));
    if (id != NULL) {
        strbuf_addch(&path, '/');
        api_add_escaped(&path, id);
    }
    enum err e = api_call(cli, method, path.s, body, ret);
    strbuf_done(&path);
    return e;
}

enum err message_queue(
    struct cli *cli, const json_t *task, const char *content, json_t **ret_message)
{
    struct uuid id = uuid_random();
    scoped(json_unrefp) json_t *body =
        json_pack("{s:s, s:s}", "id", uuid_format(&id).s, "content", content);
    for (int i = 1;; i++) {
        enum err e = call(cli, "POST", task, NULL, body, ret_message);
        if ((e != ERR_UNAVAILABLE && e != ERR_TIMEOUT) || i == TRIES)
            return e;
        cli_forgive(cli);
        cli->wait_ms(cli, i * PAUSE);
    }
}

enum err message_list(struct cli *cli, const json_t *task, json_t **ret_messages)
{
    scoped(json_unrefp) json_t *answer = NULL;
    enum err e = call(cli, "GET", task, NULL, NULL, &answer);
    if (e == ERR_OK)
        *ret_messages = json_incref(json_object_get(answer, "messages"));
    return e;
}

enum err message_refresh(
    struct cli *cli, const json_t *task, const json_t *message, json_t **ret_message)
{
    return call(cli, "GET", task, table_string(message, "id"), NULL, ret_message);
}

/* ---- taking back ---- */

/* The one message that waits and whose id begins so. */
static enum err find(
    struct cli *cli, const json_t *task, const char *begin, char ret_id[static UUID_STR_LEN + 1])
{
    scoped(json_unrefp) json_t *messages = NULL;
    enum err e = message_list(cli, task, &messages);
    size_t found = 0, i;
    json_t *m;
    if (e != ERR_OK)
        return e;
    json_array_foreach(messages, i, m)
    {
        const char *id = table_string(m, "id");
        if (!message_waits(m) || strncmp(id, begin, strlen(begin)) != 0)
            continue;
        (void)snprintf(ret_id, UUID_STR_LEN + 1, "%s", id);
        found++;
    }
    if (found == 1)
        return ERR_OK;
    if (found == 0)
        (void)cli_fail(cli, ERR_NOT_FOUND, "no message that waits for %s begins with \"%s\"",
            task_name(task), begin);
    else
        (void)cli_fail(cli, ERR_USAGE, "%zu messages begin with \"%s\"", found, begin);
    cli_hint(cli, "stint task messages %s", task_name(task));
    return cli->code;
}

/* The gateway takes a second time for the first; a person has made a slip. */
static enum err check_not_withdrawn(struct cli *cli, const json_t *task, const char *id)
{
    scoped(json_unrefp) json_t *message = NULL;
    enum err e = call(cli, "GET", task, id, NULL, &message);
    if (e == ERR_OK && strcmp(table_string(message, "state"), "withdrawn") == 0)
        return cli_fail(cli, ERR_CONFLICT, "the message was taken back already");
    return e;
}

enum err message_withdraw(struct cli *cli, const json_t *task, const char *id)
{
    struct uuid whole;
    char found[UUID_STR_LEN + 1];
    bool is_whole = uuid_parse(id, &whole);
    enum err e = is_whole ? check_not_withdrawn(cli, task, id) : find(cli, task, id, found);
    if (e == ERR_OK)
        e = call(cli, "DELETE", task, is_whole ? id : found, NULL, NULL);
    if (e == ERR_NOT_FOUND || e == ERR_CONFLICT)
        cli_hint(cli, "stint task messages %s", task_name(task));
    return e;
}
