/* SPDX-License-Identifier: Apache-2.0 */
/* audit.c - `stint audit`: who has changed what, from where. */
#include <stdlib.h>
#include <string.h>

#include "cli/api.h"
#include "cli/command.h"
#include "cli/table.h"

static const struct column columns_all[] = {
    {"id",         "id", COLUMN_TEXT},
    {"time", "time", COLUMN_TEXT},
    {"age",       "time", COLUMN_AGE},
    {"user", "who", COLUMN_TEXT},
    {"action",        "action", COLUMN_TEXT},
    {"type",  "resource_type", COLUMN_TEXT},
    {"target",       "resource_target", COLUMN_TEXT},
    {"resource id", "resource_id", COLUMN_TEXT},
    {"changed",     "changed", COLUMN_TEXT},
    {"ip", "ip", COLUMN_TEXT},
    {"user agent",       "user_agent", COLUMN_TEXT},
    {"request id", "request_id", COLUMN_TEXT},
    {0    },
};

/* Flags that are keys of the search. */
static const struct {
    const char *flag, *key;
} filters[] = {
    {"action",      "action"         },
    {"type",        "resource_type"  },
    {"target",      "resource_target"},
    {"resource-id", "resource_id"    },
    {"user",        "username"       },
    {"from",        "date_from"      },
    {"to",          "date_to"        },
};

static void add_query(struct strbuf *query, const struct call *call)
{
    for (size_t i = 0; i < COUNT(filters); i++)
        if (call_has(call, filters[i].flag))
            strbuf_addf(query, "%s:\"%s\" ", filters[i].key, call_text(call, filters[i].flag));
}

static enum err read_number(struct cli *cli, const struct call *call, const char *flag,
    const char *otherwise, struct strbuf *path)
{
    const char *text = call_has(call, flag) ? call_text(call, flag) : otherwise;
    if (*text == '\0' || text[strspn(text, "0123456789")] != '\0')
        return cli_fail(cli, ERR_USAGE, "--%s \"%s\" is no number", flag, text);
    strbuf_addf(path, "&%s=%s", flag, text);
    return ERR_OK;
}

static enum err fetch(struct cli *cli, const struct call *call, json_t **ret_entries)
{
    struct strbuf path, query;
    scoped(json_unrefp) json_t *answer = NULL;
    strbuf_init(&path), strbuf_init(&query);
    add_query(&query, call);
    strbuf_addf(&path, "/api/v2/audit?q=");
    api_add_escaped(&path, query.len > 0 ? query.s : "");
    enum err e = read_number(cli, call, "limit", "50", &path);
    if (e == ERR_OK)
        e = read_number(cli, call, "offset", "0", &path);
    if (e == ERR_OK)
        e = api_call(cli, "GET", path.s, NULL, &answer);
    if (e == ERR_OK)
        *ret_entries = json_incref(json_object_get(answer, "audit_logs"));
    strbuf_done(&path), strbuf_done(&query);
    return e;
}

/* What a table shows of "user" and "diff". */
static void put_words(json_t *entry)
{
    struct strbuf changed;
    const char *who = table_string(entry, "user.username"), *key;
    json_t *value;
    strbuf_init(&changed);
    json_object_foreach(json_object_get(entry, "diff"), key, value)
        strbuf_addf(&changed, "%s%s", changed.len > 0 ? "," : "", key);
    json_object_set_new(entry, "who", json_string(*who != '\0' ? who : "(stint)"));
    json_object_set_new(entry, "changed", json_string(changed.len > 0 ? changed.s : ""));
    strbuf_done(&changed);
}

static enum err run(struct cli *cli, const struct call *call)
{
    struct column columns[COLUMNS_MAX + 1];
    const char *names = call_text(call, "column");
    scoped(json_unrefp) json_t *entries = NULL;
    enum err e = table_pick(cli, columns_all,
        names != NULL ? names : "time,user,action,type,target,changed,ip", columns);
    if (e == ERR_OK)
        e = fetch(cli, call, &entries);
    if (e != ERR_OK)
        return e;
    if (call_wants_json(call)) {
        table_print_json(cli, entries);
        return ERR_OK;
    }
    size_t i;
    json_t *entry;
    json_array_foreach(entries, i, entry) put_words(entry);
    if (json_array_size(entries) > 0)
        table_print(cli, columns, entries);
    else
        cli_say(cli, "Nothing found.");
    return ERR_OK;
}

static const struct flag flags[] = {
    FLAG(0, "user", "USERNAME", "Done by this user."),
    FLAG(0, "action", "ACTION", "create, write, delete, login, logout, pause, resume, send, …"),
    FLAG(0, "type", "TYPE", "task, workspace_build, template, template_version, user, api_key."),
    FLAG(0, "target", "NAME", "What was changed, by its name then."),
    FLAG(0, "resource-id", "ID", "What was changed, by its id."),
    FLAG(0, "from", "TIME", "2026-11-21, or 2026-11-21T10:15:00Z."),
    FLAG(0, "to", "TIME", "The same; a day counts to its end."),
    FLAG(0, "limit", "N", "So many at most, newest first. Default: 50; at most 1000."),
    FLAG(0, "offset", "N", "Leave out so many."),
    {0},
};

static const struct example examples[] = {
    EXAMPLE("What has happened", "stint audit"),
    EXAMPLE("Who has deleted tasks since Friday",
        "stint audit --type task --action delete --from 2026-11-20"),
    EXAMPLE("All about one task, with before and after",
        "stint audit --resource-id 3f2c… --json | jq '.[].diff'"),
    {0},
};

const struct command audit_command = {
    .name = "audit",
    .summary = "Show who has changed what (owners, auditors).",
    .traits = COMMAND_PRINTS_DATA | COMMAND_LISTS,
    .flags = flags,
    .examples = examples,
    .run = run,
};
