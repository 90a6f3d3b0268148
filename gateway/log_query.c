/* SPDX-License-Identifier: Apache-2.0 */
/* log_query.c - the parameters of logs, and their text form. */
#include "gateway/log_query.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "gateway/stream.h"

static bool read_id(struct request *r, const char *key, int64_t *ret_id)
{
    const char *text = request_query(r, key);
    char *end;
    if (text == NULL || text[0] == '\0')
        return true;
    errno = 0;
    int64_t id = strtoll(text, &end, 10);
    if (errno == 0 && *end == '\0' && id >= 0) {
        *ret_id = id;
        return true;
    }
    char message[96];
    snprintf(message, sizeof(message),
        "Query param \"%s\" must be an integer greater than or equal to zero.", key);
    answer_invalid(r, 400, message, key, "Must be an integer greater than or equal to zero");
    return false;
}

/* Coder asks whether the word is there; "follow=false" means what it says. */
static bool asks_to_follow(struct request *r)
{
    const char *word = request_query(r, "follow");
    return word != NULL && strcmp(word, "false") != 0 && strcmp(word, "0") != 0;
}

/* The id of an event is that of its line. */
static void go_on_behind(const struct request *r, struct log_query *q)
{
    const char *last = stream_last_event_id(r);
    char *end;
    int64_t id = last != NULL ? strtoll(last, &end, 10) : -1;
    if (last != NULL && *end == '\0' && id > q->after)
        q->after = id;
}

bool log_query_read(struct request *r, struct log_query *ret_query)
{
    const char *format = request_query(r, "format");
    *ret_query = (struct log_query){.after = -1, .before = INT64_MAX};
    ret_query->text = format != NULL && strcmp(format, "text") == 0;
    ret_query->follow = asks_to_follow(r);
    if (!read_id(r, "after", &ret_query->after) || !read_id(r, "before", &ret_query->before))
        return false;
    if (format != NULL && !ret_query->text && strcmp(format, "json") != 0)
        answer_error(
            r, 400, "Invalid format parameter.", "Allowed values are \"json\" and \"text\".");
    else if (ret_query->text && request_query(r, "follow") != NULL)
        answer_error(r, 400, "Text format is not supported with follow mode.",
            "Use format=json or omit the follow parameter.");
    else if (ret_query->follow && stream_check_wanted(r))
        go_on_behind(r, ret_query);
    return !r->is_over;
}

void log_follow_end(struct request *r)
{
    if (!stream_is_websocket(r))
        stream_put(r, "done", NULL, "{}", 2);
    stream_end(r);
}

void log_query_add_text(struct strbuf *out, int64_t at, const char *level, const char *who,
    const char *source, const char *output)
{
    char time[CLOCK_TEXT_SIZE];
    clock_format(at, time);
    strbuf_addf(out, "%s [%s] [%s|%s] ", time, level, who, source);
    strbuf_addstr(out, output);
    strbuf_addch(out, '\n');
}

void log_query_answer_text(struct request *r)
{
    answer_text(r, 200, "text/plain; charset=utf-8");
}
