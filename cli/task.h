/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task.h - tasks as the gateway tells them: finding, reading, waiting, and saying it in words.
 *
 * A task is its JSON; nothing is copied out of it that can be looked up.
 */
#ifndef CLI_TASK_H
#define CLI_TASK_H

#include <jansson.h>

#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/table.h"

/* Every column a task has, by Coder's names and the queue's. */
extern const struct column task_columns[];

/* `word` is an id, a name of one's own task, or owner/name.  ERR_NOT_FOUND suggests a near name. */
enum err must_check task_find(struct cli *cli, const char *word, json_t **ret_task);
/* The same task as it is now. */
enum err must_check task_refresh(struct cli *cli, const json_t *task, json_t **ret_task);
/* One action: POST (or another method) on /tasks/{owner}/{id}/<action>; "" is the task itself. */
enum err must_check task_act(struct cli *cli, const char *method, const json_t *task,
    const char *action, const json_t *body, json_t **ret);

const char *task_name(const json_t *task);
const char *task_status(const json_t *task);
/* State of the newest report, "" when there is none. */
const char *task_state(const json_t *task);

/* Where a task comes to rest. */
enum task_rest {
    TASK_BUSY, /* nowhere yet */
    TASK_COMPLETE,
    TASK_IDLE,
    TASK_FAILED,
    TASK_ERROR,
    TASK_PAUSED,
    TASK_DELETED,
};

enum task_rest task_resting(const json_t *task);
/* The exit status that tells it, and the sentence. */
int task_rest_exit_status(enum task_rest rest);
const char *task_rest_text(enum task_rest rest);

/* "place 3 of 8 in the queue, about 20s" */
void task_add_queue(struct strbuf *out, const json_t *task);
/* "active, working: Compiling" */
void task_add_line(struct strbuf *out, const json_t *task);

/* Look again and again, with progress on stderr, until `done` says so or an error comes up.
 * `done` may fail the wait by cli_fail().  Takes a task, gives back its last reading. */
typedef enum err (*task_done_fn)(struct cli *cli, const json_t *task, bool *ret_done);
enum err must_check task_wait(
    struct cli *cli, json_t *take_task, task_done_fn done, json_t **ret_task);

/* POST resume, then with `wait` until it is active.  Takes the task. */
enum err must_check task_resume(struct cli *cli, json_t *take_task, bool wait, json_t **ret_task);

/* The text of create and send: argument number `arg`, --file, --stdin or what is piped in.
 * Not empty, UTF-8, at most PROMPT_BYTES_MAX. */
struct call;
enum err must_check task_read_input(
    struct cli *cli, const struct call *call, size_t arg, char **ret_text);

/* On stderr, the cause of a task's error as its newest build tells it; nothing when none is told.
 */
void task_say_why(struct cli *cli, const json_t *task);

/* ---- output of a task ---- */

struct task_log {
    struct cli *cli;
    json_int_t last_id; /* the newest message that was seen; -1: none */
    uint64_t last_hash; /* of its content: it may grow yet */
    json_int_t printed_id;
    uint64_t printed_hash;
    size_t printed_bytes; /* of its content */
    bool in_line;         /* what was printed did not end with a line end */
    bool snapshot;        /* the newest answer was a snapshot */
    bool no_input;        /* print output only */
};

void task_log_begin(struct task_log *log, struct cli *cli);
/* Fetch what is new; an empty array when the task can show none now. */
enum err must_check task_log_fetch(struct task_log *log, const json_t *task, json_t **ret_lines);
/* Is it new, or has it grown?  Then it counts as seen from now on. */
bool task_log_is_news(struct task_log *log, const json_t *line);
/* Print them, of one that has grown the rest alone: output as it is, input marked with "> ". */
void task_log_print(struct task_log *log, const json_t *lines);
/* What there is by now counts as seen; none of it when it cannot be read. */
struct task_log task_log_seen(struct cli *cli, const json_t *task);
/* End a line that was left open. */
void task_log_end(struct task_log *log);

#endif
