/* SPDX-License-Identifier: Apache-2.0 */
/*
 * version.h - template versions, for their routes and for those who make templates of them.
 */
#ifndef GATEWAY_VERSION_H
#define GATEWAY_VERSION_H

#include "gateway/query.h"
#include "gateway/request.h"

/* By id, or (id NULL) by name within a template.  One row of template_version_get, or none. */
void version_ask(struct request *r, const struct uuid *id, const struct uuid *template_id,
    const char *name, ask_db_fn done);
/* The {version} of the path, by its id; `found` has at least its row, or 404 has been answered. */
void version_find(struct request *r, ask_db_fn found);
/* A page of a template's, as rows of template_version_get. */
void version_add_list(struct db_batch *b, const struct uuid *template_id, bool with_archived,
    const struct query_page *page);

/* What handlers need to know of row i; texts are borrowed. */
struct version_head {
    struct uuid id, template_id, job_id; /* template_id nil: no template's yet */
    const char *job_state, *name;
    int64_t created_at;
    bool is_archived, has_agent, is_canceled;
};
struct version_head version_head(const struct db_result *v, size_t i);

/* Row i as Coder's TemplateVersion. */
void version_write(const struct db_result *v, size_t i, struct strbuf *out);
/* Answers with the one row, or 404: 201 to a POST. */
void version_answer(struct request *r, const struct db_result *const *results);

/* The name is taken within its template: 409. */
void version_answer_taken(struct request *r, const char *name);
/* Letters and digits in groups joined by one '_', '.' or '-', at most 64 bytes. */
bool version_is_name(const char *s);
#define VERSION_MESSAGE_MAX 1048576

#endif
