/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake.h - a gateway of canned answers, and a command line whose output can be read.
 *
 * Answers are given in the order they were laid down; each says which request it expects.  Streams
 * are requests "STREAM <path>"; a gateway for which none was laid down has none.
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
        const char *last_event_id; /* of a stream: what must be asked for */
        enum err broken;           /* and how it ends */
        bool interrupts;           /* by Ctrl-C */
    } answers[FAKE_ANSWERS_MAX];
    size_t n_answers, n_asked;
    bool has_streams;
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

/* A stream that is asked for with this Last-Event-ID, says `body`, and then ends: in order (ERR_OK)
 * or not. */
void fake_stream(
    struct fake *f, const char *path, const char *last_event_id, const char *body, enum err broken);
/* The last one laid down: and then Ctrl-C is pressed. */
void fake_interrupt(struct fake *f);

/* Run "stint <words>": the exit status; output is then in f->out and f->err.  Every answer must
 * have been asked for. */
int fake_run(struct fake *f, ...);
/* What stdin holds. */
void fake_type(struct fake *f, const char *text);

#endif
