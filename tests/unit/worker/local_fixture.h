/* SPDX-License-Identifier: Apache-2.0 */
/* local_fixture.h - a data directory, a stand-in agent and jobs for the local provisioner's tests.
 */
#ifndef TESTS_UNIT_WORKER_LOCAL_FIXTURE_H
#define TESTS_UNIT_WORKER_LOCAL_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "worker/provisioner/local.h"
#include "worker/provisioner/workspace.h"

/* Says that it is up, and ends when asked. */
#define STAND_IN_AGENT LIVE("")
/* The same, after doing something. */
#define LIVE(first) first "trap 'exit 0' TERM; up; while :; do sleep 0.05; done\n"

struct fixture {
    char dir[64];     /* everything is below it */
    char data[96];    /* data_dir */
    char agent[96];   /* the stand-in agent */
    char content[96]; /* the template's directory */
    char secrets[96]; /* secrets_dir, empty at first */
    struct local *local;
    struct provisioner provisioner;
    struct uuid workspace;
    struct job_io io;
    struct job_found found;
    struct errctx ctx;
    char lines[8192]; /* of progress */
};

/* False when sandboxes cannot be made on this machine; says why. */
bool fixture_init(struct fixture *f, const char *mounts);
void fixture_done(struct fixture *f);

/* Replace template.yaml. */
void fixture_template(struct fixture *f, const char *yaml);
/* Put a secret where the worker looks for it. */
void fixture_secret(struct fixture *f, const char *name, const char *content, unsigned mode);
/* Replace the stand-in agent: a shell script; "up" in it says that the agent has started. */
void fixture_agent(struct fixture *f, const char *script);

/* A start (build 1, token 1, prompt "hello") of the workspace, to be changed at will. */
struct job_spec fixture_spec(const struct fixture *f, enum job_kind kind, unsigned build_number);
enum err fixture_run(struct fixture *f, const struct job_spec *spec);

/* Path of a file of the workspace. */
const char *fixture_path(const struct fixture *f, const char *rest);
/* Its content, "" when it is not there. */
const char *fixture_read(const struct fixture *f, const char *rest);
bool fixture_exists(const struct fixture *f, const char *rest);
/* Wait until the file has this text in it. */
void fixture_await(const struct fixture *f, const char *rest, const char *text);
/* Wait until fits() is true; false when it is not within ten seconds. */
bool fixture_wait_until(bool (*fits)(const void *arg), const void *arg);
/* Host pid of the sandbox, from sandbox.json; 0: none. */
pid_t fixture_pid(const struct fixture *f);

#endif
