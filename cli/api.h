/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api.h - calls of the gateway's REST interface: JSON in, JSON out, refusals as errors.
 *
 * A refusal {"message", "detail", "validations": [{"field", "detail"}]} becomes the command's
 * problem and detail, with the next step where one is known.
 */
#ifndef CLI_API_H
#define CLI_API_H

#include <jansson.h>

#include "cli/cli.h"
#include "core/base/cleanup.h"

static inline void json_unref(json_t *value)
{
    json_decref(value);
}
DEFINE_SCOPED(json_t, json_unref)

/* `path` begins with "/api/"; `body` is borrowed, NULL sends none.  `ret` may be NULL; an answer
 * without a body gives JSON null. */
enum err must_check api_call(
    struct cli *cli, const char *method, const char *path, const json_t *body, json_t **ret);
/* POST to one of Stint's own routes, again under the same Idempotency-Key while no answer comes: it
 * is done once. */
enum err must_check api_post_once(
    struct cli *cli, const char *path, const json_t *body, json_t **ret);
/* The same without a token, for what is asked before there is one. */
enum err must_check api_call_anonymous(
    struct cli *cli, const char *method, const char *path, const json_t *body, json_t **ret);
/* Send bytes as they are. */
enum err must_check api_upload(
    struct cli *cli, const char *path, const char *type, const void *data, size_t n, json_t **ret);

/* Bytes as they are. */
enum err must_check api_download(struct cli *cli, const char *path, struct strbuf *out);

/* What a stream's answer that is none means: a refusal in its words; nobody answers. */
enum err api_refused(struct cli *cli, const struct http_reply *reply);
enum err api_unreachable(struct cli *cli, enum err code, const char *cause);

/* Append `text` percent-encoded, fit for a path segment or a query value. */
void api_add_escaped(struct strbuf *url, const char *text);

/* ERR_CONFIG when nobody said which gateway, ERR_UNAUTHORIZED when there is no token. */
enum err must_check api_check_login(struct cli *cli);

#endif
