/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_problem.h - what is wrong with a request, or with one operation of many: kept, then answered
 * or written among the others.
 */
#ifndef GATEWAY_OWN_PROBLEM_H
#define GATEWAY_OWN_PROBLEM_H

#include "gateway/request.h"

struct own_problem {
    int status; /* 0: none */
    char name[40];
    char title[176];
    char field[72]; /* "": no single one */
    char detail[320];
};

/* A member that is not as it must be: 400 invalid-request.  Always false. */
bool own_problem_invalid(struct own_problem *p, const char *field, const char *fmt, ...)
    printf_like(3, 4);
/* Always false. */
bool own_problem_set(struct own_problem *p, int status, const char *name, const char *title,
    const char *fmt, ...) printf_like(5, 6);
void own_problem_refusal(
    struct own_problem *p, uint32_t code, const char *detail, const char *task_name);

void own_problem_answer(struct request *r, const struct own_problem *p);
/* Append it as an object. */
void own_problem_write(struct strbuf *out, const struct own_problem *p);

#endif
