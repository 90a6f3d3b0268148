/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_log.c - what a task has printed, each line once.
 *
 * Messages are numbered by the gateway; only those from the last one on are asked for, and shown
 * when they are news, also by a gateway that does not know "after" and sends them all.  The newest
 * one may grow while the app writes it.
 */
#include "cli/task.h"

#include <string.h>

#include "cli/api.h"
#include "core/base/text.h"

void task_log_begin(struct task_log *log, struct cli *cli)
{
    *log = (struct task_log){.cli = cli, .last_id = -1, .printed_id = -1};
}

static uint64_t hash(const char *text, size_t n)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)text[i]) * 1099511628211u;
    return h;
}

bool task_log_is_news(struct task_log *log, const json_t *line)
{
    json_int_t id = json_integer_value(json_object_get(line, "id"));
    const char *content = table_string(line, "content");
    uint64_t h = hash(content, strlen(content));
    if (id < log->last_id || (id == log->last_id && h == log->last_hash))
        return false;
    log->last_id = id;
    log->last_hash = h;
    return true;
}

static json_t *newer_lines(struct task_log *log, const json_t *answer)
{
    json_t *lines = json_array();
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(answer, "logs"), i, line) if (task_log_is_news(log, line))
        json_array_append(lines, line);
    return lines;
}

enum err task_log_fetch(struct task_log *log, const json_t *task, json_t **ret_lines)
{
    char action[64] = "logs";
    scoped(json_unrefp) json_t *answer = NULL;
    if (log->last_id > 0)
        (void)snprintf(
            action, sizeof(action), "logs?after=%" JSON_INTEGER_FORMAT, log->last_id - 1);
    enum err e = task_act(log->cli, "GET", task, action, NULL, &answer);
    if (e != ERR_OK)
        return e;
    log->snapshot = json_is_true(json_object_get(answer, "snapshot"));
    *ret_lines = newer_lines(log, answer);
    return ERR_OK;
}

static void print_text(struct task_log *log, const char *text, size_t n)
{
    struct strbuf clean;
    strbuf_init(&clean);
    text_add_output(&clean, text, n);
    fwrite(clean.s, 1, clean.len, log->cli->out);
    if (clean.len > 0)
        log->in_line = clean.s[clean.len - 1] != '\n';
    strbuf_done(&clean);
}

static void print_input(struct task_log *log, const char *text)
{
    const char *bold = log->cli->colour ? "\033[1m" : "";
    const char *plain = log->cli->colour ? "\033[0m" : "";
    task_log_end(log);
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        fprintf(log->cli->out, "%s> ", bold);
        print_text(log, text, n);
        fprintf(log->cli->out, "%s\n", plain);
        text += n + (text[n] == '\n');
    }
    log->in_line = false;
}

static void print_output(struct task_log *log, json_int_t id, const char *text)
{
    size_t n = strlen(text), skip = 0;
    if (id == log->printed_id) {
        bool has_grown =
            n >= log->printed_bytes && hash(text, log->printed_bytes) == log->printed_hash;
        skip = has_grown ? log->printed_bytes : 0;
        if (!has_grown)
            task_log_end(log);
    }
    log->printed_id = id;
    log->printed_bytes = n;
    log->printed_hash = hash(text, n);
    print_text(log, text + skip, n - skip);
}

void task_log_print(struct task_log *log, const json_t *lines)
{
    size_t i;
    json_t *line;
    json_array_foreach(lines, i, line)
    {
        const char *content = table_string(line, "content");
        if (strcmp(table_string(line, "type"), "input") != 0)
            print_output(log, json_integer_value(json_object_get(line, "id")), content);
        else if (!log->no_input)
            print_input(log, content);
    }
    fflush(log->cli->out);
}

void task_log_end(struct task_log *log)
{
    if (log->in_line)
        fputc('\n', log->cli->out);
    log->in_line = false;
}

struct task_log task_log_seen(struct cli *cli, const json_t *task)
{
    struct task_log log;
    scoped(json_unrefp) json_t *lines = NULL;
    task_log_begin(&log, cli);
    if (task_log_fetch(&log, task, &lines) != ERR_OK)
        cli_forgive(cli);
    return log;
}
