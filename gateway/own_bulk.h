/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_bulk.h - operations on tasks, one or a thousand: POST /api/stint/v1/tasks and …/tasks/bulk.
 *
 *   read all ─> look up templates, owners, tasks ─> parameters ─> the scheduler, in as few messages
 *   as their size allows ─> names that were taken once more ─> the answer
 *
 * Each step takes all operations at once: two questions to the database and one to the scheduler,
 * however many there are.  One that cannot be done has its problem, and the others go on.
 */
#ifndef GATEWAY_OWN_BULK_H
#define GATEWAY_OWN_BULK_H

#include "core/base/vec.h"
#include "gateway/own_options.h"
#include "gateway/parameters.h"
#include "gateway/task_template.h"

#define OPERATIONS_MAX 1000

enum op_verb { OP_CREATE, OP_PAUSE, OP_RESUME, OP_DELETE };

/* What creates refer to: looked up once for all that refer to the same. */
struct op_template {
    const char *name, *version, *preset; /* as asked for; the last two may be NULL */
    struct own_problem problem;
    struct uuid version_id, preset_id;
    struct task_template of;
};

struct op_owner {
    const char *word; /* NULL: who asks */
    struct own_problem problem;
    struct uuid id;
    char username[33];
};

struct op {
    enum op_verb verb;
    struct own_problem problem;
    bool is_asked, is_done;
    struct uuid task_id, build_id;
    /* Creates. */
    size_t template, owner; /* numbers of theirs */
    const char *input;      /* borrowed from r->json */
    char name[TASK_NAME_MAX + 1];
    unsigned names_left; /* to be tried; 0: the name was given */
    struct task_options options;
    struct parameters_json *given; /* NULL: none */
    struct parameters values;
};

struct ops {
    VEC(struct op) list;
    VEC(struct op_template) templates;
    VEC(struct op_owner) owners;
    request_fn then;
};

/* For request_state(). */
void ops_done(void *ops);

/* Read one create, or an operation that names its verb, into a new element.  What is wrong with it
 * is in its problem. */
void ops_read_create(struct request *r, struct ops *ops, const json_t *json);
void ops_read(struct request *r, struct ops *ops, const json_t *json);

/* Do all of r->state, which is a struct ops; then each is done or has its problem. */
void ops_carry_out(struct request *r, request_fn then);

/* own_create.c: rows of own_template_find and user_get */
void op_template_take(struct op_template *t, const struct db_result *row);
void op_owner_take(struct request *r, struct op_owner *o, const struct db_result *row);
/* The message; lives as long as the operation; the labels are freed by the caller. */
void op_fill_create(
    struct request *r, const struct ops *ops, const struct op *op, Stint__V1__TaskCreate *m);

#endif
