/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local provisioner on real sandboxes, with a shell script in the agent's place: actions
 * converge, stale leases are refused, stopping leaves nothing, and nothing leaks in.
 */
#include "tests/unit/worker/local_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "worker/file.h"
#include "worker/provisioner/sandbox.h"
#include "worker/provisioner/sandbox_title.h"

#define SANDBOX(f, mounts)             \
    struct fixture f;                  \
    if (!fixture_init(&f, (mounts))) { \
        fixture_done(&f);              \
        skip();                        \
    }

static bool is_alive(pid_t pid)
{
    struct process p;
    return process_look_up(pid, &p);
}

static void call(struct fixture *f, enum job_call what)
{
    uint64_t one = 1;
    f->io.call = (int)what;
    assert_int_equal(write(f->io.call_fd, &one, sizeof(one)), sizeof(one));
}

static void starts_once_and_again_finds_it(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    struct job_spec start = fixture_spec(&f, JOB_START, 1);
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    assert_true(f.found.on_host);
    pid_t pid = fixture_pid(&f);
    assert_true(is_alive(pid));

    start.token = 2; /* another worker, same job */
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    assert_int_equal(fixture_pid(&f), pid);
    fixture_done(&f);
    assert_false(is_alive(pid));
}

static void newer_build_replaces_the_older(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    struct job_spec first = fixture_spec(&f, JOB_START, 1), second = fixture_spec(&f, JOB_START, 2);
    assert_int_equal(fixture_run(&f, &first), ERR_OK);
    pid_t pid = fixture_pid(&f);
    assert_int_equal(fixture_run(&f, &second), ERR_OK);
    assert_false(is_alive(pid));
    assert_true(is_alive(fixture_pid(&f)));
    assert_int_not_equal(fixture_pid(&f), pid);

    /* The older one comes late: refused, nothing changes. */
    pid = fixture_pid(&f);
    assert_int_equal(fixture_run(&f, &first), ERR_LEASE_LOST);
    assert_int_equal(fixture_pid(&f), pid);
    fixture_done(&f);
}

static void stale_token_is_refused(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    struct job_spec start = fixture_spec(&f, JOB_START, 1);
    start.token = 5;
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    start.token = 4;
    assert_int_equal(fixture_run(&f, &start), ERR_LEASE_LOST);
    assert_non_null(strstr(f.ctx.text, "stale"));

    /* A clean-up after this build has a job, and tokens, of its own. */
    struct job_spec cleanup = fixture_spec(&f, JOB_STOP, 1);
    assert_int_equal(fixture_run(&f, &cleanup), ERR_OK);
    start.token = 6;
    assert_int_equal(fixture_run(&f, &start), ERR_LEASE_LOST);
    assert_false(fixture_exists(&f, "/sandbox.json"));
    fixture_done(&f);
}

static void stop_asks_first(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    fixture_agent(
        &f, "trap 'echo bye >/home/agent/bye; exit 0' TERM; up; while :; do sleep 0.05; done\n");
    struct job_spec start = fixture_spec(&f, JOB_START, 1), stop = fixture_spec(&f, JOB_STOP, 2);
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    pid_t pid = fixture_pid(&f);
    assert_int_equal(fixture_run(&f, &stop), ERR_OK);
    assert_false(is_alive(pid));
    assert_string_equal(fixture_read(&f, "/home/bye"), "bye\n");
    assert_false(fixture_exists(&f, "/sandbox.json"));

    assert_int_equal(fixture_run(&f, &stop), ERR_OK); /* twice is once */
    fixture_done(&f);
}

static bool user_has_no_process(const void *uid)
{
    char command[80];
    snprintf(command, sizeof(command), "ps -o pid= -u %u | wc -l | grep -qx 0",
        (unsigned)*(const uid_t *)uid);
    return system(command) == 0;
}

static void stop_kills_the_deaf_and_their_children(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    fixture_template(&f, "command: [sh]\ngrace: 0s\napp: {slug: shell}\n");
    /* A child in a session of its own, whom no signal to a group would reach. */
    fixture_agent(&f, "trap '' TERM; setsid sh -c 'trap \"\" TERM HUP; echo $$ >/home/agent/child;"
                      " while :; do sleep 0.05; done' & up; while :; do sleep 0.05; done\n");
    struct job_spec start = fixture_spec(&f, JOB_START, 1), stop = fixture_spec(&f, JOB_STOP, 2);
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    fixture_await(&f, "/home/child", "\n");

    struct stat st;
    assert_int_equal(stat(fixture_path(&f, "/home"), &st), 0);
    assert_int_equal(fixture_run(&f, &stop), ERR_OK);
    if (geteuid() == 0) /* then the user has no other processes */
        assert_true(fixture_wait_until(user_has_no_process, &st.st_uid));
    fixture_done(&f);
}

static bool has_pid(const void *f)
{
    return fixture_pid(f) > 0;
}

static void *cancel_when_it_is_there(void *arg)
{
    assert_true(fixture_wait_until(has_pid, arg));
    call(arg, JOB_CANCEL);
    return NULL;
}

static void canceled_start_is_undone(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    fixture_agent(&f, "exec sleep 1000\n"); /* never says that it is up */
    struct job_spec start = fixture_spec(&f, JOB_START, 1);
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_when_it_is_there, &f);
    int64_t since_ms = clock_mono_ms();
    assert_int_equal(fixture_run(&f, &start), ERR_CANCELED);
    pthread_join(thread, NULL);
    assert_true(clock_mono_ms() - since_ms < 5000);
    assert_true(f.found.clean);
    assert_false(fixture_exists(&f, "/sandbox.json"));
    fixture_done(&f);
}

static void canceled_stop_kills_at_once(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    fixture_template(&f, "command: [sh]\ngrace: 1m\napp: {slug: shell}\n");
    fixture_agent(&f, "trap '' TERM; up; while :; do sleep 0.05; done\n");
    struct job_spec start = fixture_spec(&f, JOB_START, 1), stop = fixture_spec(&f, JOB_STOP, 2);
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    pid_t pid = fixture_pid(&f);
    call(&f, JOB_CANCEL);
    assert_int_equal(fixture_run(&f, &stop), ERR_OK);
    assert_false(is_alive(pid));
    fixture_done(&f);
}

static void abandoned_start_touches_nothing_more(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    fixture_agent(&f, LIVE("sleep 1; "));
    struct job_spec start = fixture_spec(&f, JOB_START, 1);
    call(&f, JOB_ABANDON);
    assert_int_equal(fixture_run(&f, &start), ERR_LEASE_LOST);
    assert_false(f.found.clean);

    /* Its new owner takes over what there is. */
    f.io.call = JOB_GO_ON;
    uint64_t calls;
    assert_int_equal(read(f.io.call_fd, &calls, sizeof(calls)), sizeof(calls));
    start.token = 2;
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    assert_true(is_alive(fixture_pid(&f)));
    fixture_done(&f);
}

/* A worker that was stopped while it held the workspace's lock: whoever has the newer lease does
 * not wait for it for ever, and it touches nothing when it goes on. */
static void a_lock_that_is_not_let_go_is_taken_over(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    struct job_spec stopped = fixture_spec(&f, JOB_START, 1), newer = stopped;
    struct workspace *ws;
    newer.token = 2;
    assert_int_equal(workspace_open(f.data, &stopped, true, 1000, &f.io, &ws, &f.ctx), ERR_OK);
    assert_int_equal(workspace_fence(ws, &stopped, &f.ctx), ERR_OK);
    assert_int_equal(workspace_check(ws, &f.io, &f.ctx), ERR_OK);

    assert_int_equal(fixture_run(&f, &newer), ERR_OK);
    pid_t pid = fixture_pid(&f);
    assert_true(is_alive(pid));

    struct sandbox_host host = {0};
    struct sandbox_record record;
    bool running;
    assert_int_equal(sandbox_find(ws, &record, &running, &f.ctx), ERR_OK);
    assert_true(running);
    assert_int_equal(workspace_check(ws, &f.io, &f.ctx), ERR_LEASE_LOST);
    assert_int_equal(workspace_save_record(ws, &record, &f.ctx), ERR_LEASE_LOST);
    assert_int_equal(sandbox_stop(&host, ws, &record, true, &f.io, &f.ctx), ERR_LEASE_LOST);
    assert_int_equal(workspace_remove_record(ws, &f.ctx), ERR_LEASE_LOST);
    workspace_free(ws);
    assert_true(is_alive(pid));
    assert_int_equal(fixture_pid(&f), pid);
    fixture_done(&f);
}

/* It is the newer lease that takes over, not whoever is impatient. */
static void the_older_lease_takes_nothing_over(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    struct job_spec older = fixture_spec(&f, JOB_START, 1), holder = older;
    struct workspace *ws;
    holder.token = 2;
    assert_int_equal(workspace_open(f.data, &holder, true, 1000, &f.io, &ws, &f.ctx), ERR_OK);
    assert_int_equal(workspace_fence(ws, &holder, &f.ctx), ERR_OK);
    assert_int_equal(fixture_run(&f, &older), ERR_LEASE_LOST);
    struct job_spec delete = fixture_spec(&f, JOB_DELETE, 1);
    delete.build_number = 0; /* of a build before */
    assert_int_equal(fixture_run(&f, &delete), ERR_LEASE_LOST);
    assert_int_equal(workspace_check(ws, &f.io, &f.ctx), ERR_OK);
    assert_true(fixture_exists(&f, "/fence.json"));
    workspace_free(ws);
    fixture_done(&f);
}

/* Another series of tries comes after the clean-up of the first one. */
static void a_later_series_is_newer_than_a_clean_up(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    struct job_spec start = fixture_spec(&f, JOB_START, 1), cleanup = start, again = start;
    cleanup.kind = JOB_STOP;
    cleanup.job_id = uuid_random();
    again.series = 1;
    again.token = 2;
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    assert_int_equal(fixture_run(&f, &cleanup), ERR_OK);
    assert_int_equal(fixture_run(&f, &start), ERR_LEASE_LOST);
    assert_int_equal(fixture_run(&f, &again), ERR_OK);
    assert_int_equal(fixture_run(&f, &cleanup), ERR_LEASE_LOST);
    assert_true(is_alive(fixture_pid(&f)));
    fixture_done(&f);
}

/* The scheduler speaks again, after a while. */
struct doubt {
    struct job_lease lease;
    struct job_io io;
    bool is_lost;
};

static void *speak(void *arg)
{
    struct doubt *d = arg;
    poll(NULL, 0, 100);
    if (d->is_lost)
        atomic_store(&d->io.call, JOB_ABANDON);
    else
        atomic_store(&d->lease.until_mono_ms, INT64_MAX);
    return NULL;
}

static void while_the_lease_is_in_doubt_nothing_is_done(void **state)
{
    (void)state;
    for (int is_lost = 0; is_lost <= 1; is_lost++) {
        struct doubt d = {
            .lease.until_mono_ms = clock_mono_ms(), .io.call_fd = -1, .is_lost = is_lost};
        struct errctx ctx;
        pthread_t scheduler;
        int64_t begin_ms = clock_mono_ms();
        d.io.lease = &d.lease;
        assert_int_equal(pthread_create(&scheduler, NULL, speak, &d), 0);
        assert_int_equal(job_io_check(&d.io, &ctx), is_lost ? ERR_LEASE_LOST : ERR_OK);
        assert_true(clock_mono_ms() - begin_ms >= 90);
        pthread_join(scheduler, NULL);
    }
}

/* A worker that died between starting a sandbox and writing down its pid. */
static void unrecorded_sandbox_is_adopted(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    fixture_agent(&f, LIVE("echo run >>/home/agent/runs; "));
    struct job_spec start = fixture_spec(&f, JOB_START, 1), stop = fixture_spec(&f, JOB_STOP, 2);
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    pid_t pid = fixture_pid(&f);

    struct workspace *ws;
    struct sandbox_record record;
    bool present;
    assert_int_equal(workspace_open(f.data, &(struct job_spec){.workspace_id = f.workspace}, false,
                         1000, &f.io, &ws, &f.ctx),
        ERR_OK);
    assert_int_equal(workspace_load_record(ws, &record, &present, &f.ctx), ERR_OK);
    record.init = (struct process){0};
    assert_int_equal(workspace_save_record(ws, &record, &f.ctx), ERR_OK);
    workspace_free(ws);

    start.token = 2;
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    assert_int_equal(fixture_pid(&f), pid);
    assert_string_equal(fixture_read(&f, "/home/runs"), "run\n");
    assert_int_equal(fixture_run(&f, &stop), ERR_OK);
    assert_false(is_alive(pid));
    fixture_done(&f);
}

/* A sandbox's first process that lost its supervisor before it became the agent. */
static pid_t make_orphan(const char *title)
{
    int news[2];
    pid_t orphan = 0;
    assert_int_equal(pipe(news), 0);
    pid_t parent = fork();
    if (parent == 0) {
        pid_t pid = unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0 ? fork() : 0;
        if (pid == 0)
            execl("/bin/sleep", title, "60", NULL);
        _exit(write(news[1], &pid, sizeof(pid)) != sizeof(pid));
    }
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    assert_int_equal(read(news[0], &orphan, sizeof(orphan)), sizeof(orphan));
    close(news[0]);
    close(news[1]);
    return orphan;
}

static bool is_dead_or_titled(const void *arg)
{
    const struct {
        const char *title;
        pid_t pid;
    } *o = arg;
    char path[40], text[128] = "";
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)o->pid);
    scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 || (read(fd, text, sizeof(text) - 1) > 0 && strcmp(text, o->title) == 0);
}

/* A start whose bubblewrap was killed amid its work: the next one finds what waits for it. */
static void half_started_sandbox_is_cleared_away(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    struct job_spec start = fixture_spec(&f, JOB_START, 1);
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    pid_t pid = fixture_pid(&f);
    struct workspace *ws;
    struct sandbox_record record;
    bool present;
    assert_int_equal(workspace_open(f.data, &(struct job_spec){.workspace_id = f.workspace}, false,
                         1000, &f.io, &ws, &f.ctx),
        ERR_OK);
    assert_int_equal(workspace_load_record(ws, &record, &present, &f.ctx), ERR_OK);
    record.init = (struct process){0};
    assert_int_equal(workspace_save_record(ws, &record, &f.ctx), ERR_OK);
    struct sandbox_title title = sandbox_title(ws, &record);
    workspace_free(ws);
    assert_int_equal(kill(pid, SIGKILL), 0);

    struct {
        const char *title;
        pid_t pid;
    } orphan = {title.s, make_orphan(title.s)};
    assert_true(fixture_wait_until(is_dead_or_titled, &orphan));
    assert_true(is_alive(orphan.pid));
    start.token = 2;
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    assert_false(is_alive(orphan.pid));
    assert_true(is_alive(fixture_pid(&f)));
    fixture_done(&f);
}

static void failed_start_says_why_and_is_undone(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    fixture_agent(&f, "echo 'agent: the manifest is odd' >&2; exit 3\n");
    struct job_spec start = fixture_spec(&f, JOB_START, 1);
    enum err e = fixture_run(&f, &start);
    assert_true(err_is_retryable(e));
    assert_non_null(strstr(f.ctx.text, "the manifest is odd"));
    assert_true(f.found.clean);
    assert_false(fixture_exists(&f, "/sandbox.json"));
    fixture_done(&f);
}

static void nothing_leaks_in(void **state)
{
    (void)state;
    setenv("SECRET_OF_THE_WORKER", "hunter2", 1);
    int fd = open("/etc/passwd", O_RDONLY); /* deliberately not close-on-exec */
    assert_true(fd >= 0);
    SANDBOX(f, NULL);
    fixture_agent(&f,
        "env >/home/agent/env; ls -l /proc/1/fd >/home/agent/fd; id >/home/agent/id;"
        " ls -A / /etc >/home/agent/ls; (echo x >/usr/x; echo x >/opt/template/x; echo x >/x) "
        "2>/home/agent/ro;"
        " ps -e >/home/agent/ps 2>/dev/null; cat /proc/net/dev >/home/agent/net; ulimit -c "
        ">/home/agent/core;"
        " tr '\\0' ' ' </proc/1/cmdline >/home/agent/cmdline; trap 'exit 0' TERM; up; while :; do "
        "sleep 0.05; done\n");
    struct job_spec start = fixture_spec(&f, JOB_START, 1);
    assert_int_equal(fixture_run(&f, &start), ERR_OK);

    assert_null(strstr(fixture_read(&f, "/home/env"), "SECRET"));
    assert_null(strstr(fixture_read(&f, "/home/env"), "top-secret-token"));
    assert_null(strstr(fixture_read(&f, "/home/fd"), "passwd"));
    assert_null(strstr(fixture_read(&f, "/home/fd"), "memfd"));
    assert_null(strstr(fixture_read(&f, "/home/fd"), "pipe"));
    assert_non_null(
        strstr(fixture_read(&f, "/home/id"), "uid=1000(agent) gid=1000(agent) groups=1000(agent)"));
    assert_null(strstr(fixture_read(&f, "/home/ls"), "shadow"));
    assert_null(strstr(fixture_read(&f, "/home/net"), "eth"));
    assert_string_equal(fixture_read(&f, "/home/core"), "0\n");
    const char *ro = fixture_read(&f, "/home/ro");
    assert_non_null(strstr(ro, "/usr/x"));
    assert_non_null(strstr(ro, "/opt/template/x"));
    assert_non_null(strstr(ro, " /x"));
    assert_null(strstr(f.lines, "top-secret-token"));
    assert_null(strstr(f.lines, "hello"));

    struct stat st;
    assert_int_equal(stat(fixture_path(&f, "/agent/manifest.json"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    if (geteuid() == 0)
        assert_true(st.st_uid >= WORKSPACE_UID_FIRST);
    close(fd);
    fixture_done(&f);
}

static void a_prompt_of_a_mebibyte_arrives(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    struct job_spec start = fixture_spec(&f, JOB_START, 1);
    char *prompt = mem_alloc((1 << 20) + 1);
    memset(prompt, 'p', 1 << 20);
    start.prompt = prompt;
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    struct stat st;
    assert_int_equal(stat(fixture_path(&f, "/agent/manifest.json"), &st), 0);
    assert_true(st.st_size > 1 << 20);
    free(prompt);
    fixture_done(&f);
}

static void home_is_kept_and_mounts_are_there(void **state)
{
    (void)state;
    SANDBOX(f, "source=/usr/include");
    fixture_template(&f,
        "command: [sh]\napp: {slug: shell}\nmounts:\n  - {name: source, to: /mnt/source}\n"
        "  - {name: unknown, to: /mnt/unknown, optional: true}\n");
    fixture_agent(&f, "ls /mnt /mnt/source >/home/agent/mnt; echo again >>/home/agent/kept; "
                      "trap 'exit 0' TERM; up; while :; do sleep 0.05; done\n");
    for (unsigned build = 1; build <= 3; build += 2) {
        struct job_spec start = fixture_spec(&f, JOB_START, build),
                        stop = fixture_spec(&f, JOB_STOP, build + 1);
        assert_int_equal(fixture_run(&f, &start), ERR_OK);
        assert_int_equal(fixture_run(&f, &stop), ERR_OK);
    }
    assert_string_equal(fixture_read(&f, "/home/kept"), "again\nagain\n");
    assert_non_null(strstr(fixture_read(&f, "/home/mnt"), "stdio.h"));
    assert_null(strstr(fixture_read(&f, "/home/mnt"), "unknown"));
    fixture_done(&f);
}

static void delete_leaves_nothing_and_no_way_back(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    fixture_agent(&f,
        "mkdir -p /home/agent/a/b/c; ln -s /etc/passwd /home/agent/a/link; chmod 0 /home/agent/a/b;"
        " mkfifo /home/agent/pipe; trap 'exit 0' TERM; up; while :; do sleep 0.05; done\n");
    struct job_spec start = fixture_spec(&f, JOB_START, 1), gone = fixture_spec(&f, JOB_DELETE, 2);
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    pid_t pid = fixture_pid(&f);
    assert_int_equal(fixture_run(&f, &gone), ERR_OK);
    assert_false(is_alive(pid));
    assert_false(fixture_exists(&f, ""));
    assert_false(f.found.on_host);
    assert_int_equal(fixture_run(&f, &gone), ERR_OK); /* twice is once */
    assert_int_equal(fixture_run(&f, &start), ERR_LEASE_LOST);
    assert_false(fixture_exists(&f, ""));
    fixture_done(&f);
}

/* What the agent's directory holds was written by a stranger. */
static void traps_in_the_agents_directory(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    fixture_agent(&f, "rm -f /var/lib/stint/manifest.json; mkdir -p /var/lib/stint/manifest.json/x;"
                      " ln -s /etc/passwd /var/lib/stint/.manifest.json; exit 1\n");
    struct job_spec start = fixture_spec(&f, JOB_START, 1), next = fixture_spec(&f, JOB_START, 2);
    assert_int_not_equal(fixture_run(&f, &start), ERR_OK);
    fixture_agent(&f,
        "mkdir -p /var/lib/stint/other; trap 'exit 0' TERM; up; while :; do sleep 0.05; done\n");
    assert_int_equal(fixture_run(&f, &next), ERR_OK);
    fixture_done(&f);
}

static void limits_without_cgroups(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    fixture_template(&f,
        "command: [sh]\nlimits: {memory: 64MiB, pids: 20, file_size: 1MiB}\napp: {slug: shell}\n");
    fixture_agent(&f, "ulimit -d >/home/agent/data; ulimit -f >/home/agent/file; ulimit -n "
                      ">/home/agent/open; trap 'exit 0' TERM; up; while :; do sleep 0.05; done\n");
    struct job_spec start = fixture_spec(&f, JOB_START, 1);
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    if (strstr(local_limits_text(f.local), "rlimits") != NULL)
        assert_string_equal(fixture_read(&f, "/home/data"), "65536\n");
    assert_string_equal(fixture_read(&f, "/home/file"), "2048\n");
    assert_true(atoi(fixture_read(&f, "/home/open")) > 0);
    fixture_done(&f);
}

static void import_tells_and_refuses(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    struct job_spec import = fixture_spec(&f, JOB_IMPORT, 0);
    fixture_template(&f, "command: [sh]\ndisplay_name: A shell\napp: {slug: shell}\n");
    assert_int_equal(fixture_run(&f, &import), ERR_OK);
    assert_true(f.found.import.has_ai_task);
    assert_string_equal(f.found.import.app_slug, "shell");
    assert_string_equal(f.found.import.display_name, "A shell");

    fixture_template(&f, "command: [no-such-program]\napp: {slug: shell}\n");
    enum err e = fixture_run(&f, &import);
    assert_int_equal(e, ERR_CONFIG);
    assert_false(err_is_retryable(e));
    assert_non_null(strstr(f.ctx.text, "command: \"no-such-program\" is not there"));

    fixture_template(&f, "command: [sh]\nmounts: [{name: data, to: /mnt/data}]\n");
    assert_int_equal(fixture_run(&f, &import), ERR_CONFIG);
    assert_non_null(strstr(f.ctx.text, "no \"data\" here"));
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_once_and_again_finds_it),
        cmocka_unit_test(newer_build_replaces_the_older),
        cmocka_unit_test(stale_token_is_refused),
        cmocka_unit_test(stop_asks_first),
        cmocka_unit_test(stop_kills_the_deaf_and_their_children),
        cmocka_unit_test(canceled_start_is_undone),
        cmocka_unit_test(canceled_stop_kills_at_once),
        cmocka_unit_test(abandoned_start_touches_nothing_more),
        cmocka_unit_test(a_lock_that_is_not_let_go_is_taken_over),
        cmocka_unit_test(the_older_lease_takes_nothing_over),
        cmocka_unit_test(a_later_series_is_newer_than_a_clean_up),
        cmocka_unit_test(while_the_lease_is_in_doubt_nothing_is_done),
        cmocka_unit_test(unrecorded_sandbox_is_adopted),
        cmocka_unit_test(half_started_sandbox_is_cleared_away),
        cmocka_unit_test(failed_start_says_why_and_is_undone),
        cmocka_unit_test(nothing_leaks_in),
        cmocka_unit_test(a_prompt_of_a_mebibyte_arrives),
        cmocka_unit_test(home_is_kept_and_mounts_are_there),
        cmocka_unit_test(delete_leaves_nothing_and_no_way_back),
        cmocka_unit_test(traps_in_the_agents_directory),
        cmocka_unit_test(limits_without_cgroups),
        cmocka_unit_test(import_tells_and_refuses),
    };
    cmocka_set_test_filter(getenv("TEST")); /* one test by name; unset: all */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
