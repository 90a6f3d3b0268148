/* SPDX-License-Identifier: Apache-2.0 */
/* template.h - finding templates, for their own routes and those of their versions. */
#ifndef GATEWAY_TEMPLATE_H
#define GATEWAY_TEMPLATE_H

#include "gateway/request.h"

/* NULL and negative: any. */
struct template_filter {
    struct uuid id;
    const char *name, *name_part, *display_name, *display_name_part;
    const char *words; /* part of either name */
    const char *author;
    int has_ai_task, is_deprecated;
};

#define TEMPLATE_ANY                           \
    {                                          \
        .has_ai_task = -1, .is_deprecated = -1 \
    }

/* One statement, whose result has rows of template_list. */
void template_add(struct db_batch *b, const struct template_filter *f);
void template_ask(struct request *r, const struct template_filter *f, ask_db_fn done);
/* Row i as Coder's Template. */
void template_write(const struct db_result *t, size_t i, struct strbuf *out);
/* Answers with the one row, or 404: 201 to a POST. */
void template_answer(struct request *r, const struct db_result *const *results);

/* False: a 403 has been answered. */
bool template_may_write(struct request *r);

/* What people write of a template, borrowed from r->json; NULL: as it is. */
struct template_texts {
    const char *name, *display_name, *description, *icon, *deprecated;
};
/* False: a 400 with that message has been answered. */
bool template_check_texts(struct request *r, const char *message, const struct template_texts *t);
bool template_check_duration(struct request *r, const char *message, const char *field, int64_t ms);
/* 409. */
void template_answer_taken(struct request *r, const char *name);

#endif
