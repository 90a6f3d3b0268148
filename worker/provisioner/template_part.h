/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_part.h - what the files of template.h share with each other and with nobody else.
 *
 * A path names a place in the file: "scripts[2].cron".
 */
#ifndef WORKER_PROVISIONER_TEMPLATE_PART_H
#define WORKER_PROVISIONER_TEMPLATE_PART_H

#include "worker/provisioner/template.h"

/* The text that a check is about, for the line of what is wrong. */
struct template_source {
    const char *text;
    size_t n;
    struct errctx *ctx;
};

struct template_path {
    char s[80];
};
struct template_path template_path(const char *fmt, ...) printf_like(1, 2);

/* Line of the place, or of the nearest thing around it that is there; 0: not known. */
unsigned template_line(const struct template_source *s, const char *path);
/* Is it there, be it empty? */
bool template_has(const struct template_source *s, const char *path);

/* ERR_CONFIG: "template.yaml: line 7: scripts[2].cron: <sentence>". */
enum err template_wrong(const struct template_source *s, const char *path, const char *fmt, ...)
    printf_like(3, 4);

/* Checks of the whole; it fills what is derived from the texts. */
enum err must_check template_check(const struct template_source *s, struct template *t);
/* Those of agentapi, apps, scripts and metadata: what the agent is to run. */
enum err must_check template_check_agent(const struct template_source *s, struct template *t);
/* Those of parameters and presets. */
enum err must_check template_check_parameters(const struct template_source *s, struct template *t);
enum err must_check template_check_programs(const struct template_source *s, struct template *t,
    int dir_fd, template_warn_fn warn, void *arg);

/* Absent is `initial`. */
enum err must_check template_read_bool(
    const struct template_source *s, const char *path, const char *text, bool initial, bool *ret);
enum err must_check template_read_number(const struct template_source *s, const char *path,
    const char *text, int64_t initial, int64_t min, int64_t max, int64_t *ret);
enum err must_check template_read_duration(const struct template_source *s, const char *path,
    const char *text, int64_t initial_ms, int64_t min_ms, int64_t max_ms, int64_t *ret_ms);
/* The text is one of the words, which are separated by spaces; absent, it becomes the first. */
enum err must_check template_read_word(
    const struct template_source *s, const char *path, const char *words, char **text);
enum err must_check template_check_env(const struct template_source *s, const char *path,
    const struct template_env *env, bool may_have_secrets);
/* A command that is there names a program. */
enum err must_check template_check_command(
    const struct template_source *s, const char *path, char *const *command, unsigned n);

/* Absolute, and says what it means: no "..", no "." and no empty component. */
bool template_is_plain_path(const char *path);
bool template_is_at_or_below(const char *path, const char *dir);

#endif
