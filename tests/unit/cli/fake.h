/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake.h - a gateway of canned answers, and a command line whose output can be read.
 *
 * Answers are given in the order they were laid down; each says which request it expects.
 */
#ifndef TESTS_UNIT_CLI_FAKE_H
#define TESTS_UNIT_CLI_FAKE_H

#include "cli/cli.h"

#define FAKE_ANSWERS_MAX 32

struct fake {
    struct http http;
    struct {
        const char *request; /* "GET /api/v2/tasks/me/a" */
        long status;
        const char *body;
    } answers[FAKE_ANSWERS_MAX];
    size_t n_answers, n_asked;
    enum err down; /* no answer at all: this instead */
    char *last_body;
    size_t last_body_bytes;
    char last_token[64];

    struct cli cli;
    char *out, *err;
    size_t out_size, err_size;
    int64_t waited_ms;
};

/* Logged in to http://gateway with the token "secret", no terminal, no environment. */
void fake_open(struct fake *f);
void fake_close(struct fake *f);
void fake_answer(struct fake *f, const char *request, long status, const char *body);

/* Run "stint <words>": the exit status; output is then in f->out and f->err.  Every answer must
 * have been asked for. */
int fake_run(struct fake *f, ...);
/* What stdin holds. */
void fake_type(struct fake *f, const char *text);

#endif
