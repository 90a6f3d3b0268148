/* SPDX-License-Identifier: Apache-2.0 */
/*
 * templates.c - FileGet chunk by chunk into a nameless file, then unpacked on a pool thread.
 */
#include "worker/templates.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/vec.h"
#include "worker/file.h"
#include "worker/metric.h"
#include "worker/unpack.h"

#define ARCHIVE_BYTES_MAX (128LL << 20)
#define CHUNK_WAIT_MS     15000
#define LEFT_OVER_S       3600

struct waiter {
    struct uuid job_id;
    uint64_t token;
};

struct fetch {
    struct templates *templates;
    struct uuid file_id;
    int fd; /* the archive so far */
    uint64_t offset;
    VEC(struct waiter) waiters;
    struct bus_request *request; /* NULL while unpacking */
    enum err code;               /* of the unpacking */
    struct errctx ctx;
};

struct templates {
    struct loop *loop;
    struct bus_client *scheduler;
    char *dir; /* <data_dir>/templates */
    templates_fn on_ready;
    void *arg;
    struct map fetches; /* file id -> fetch */
};

static void ask(struct fetch *f);

/* ---- life ---- */

/* What workers that died while unpacking have left. */
static void sweep(const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        struct stat st;
        if (strncmp(entry->d_name, ".new-", 5) != 0)
            continue;
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            time(NULL) - st.st_mtime > LEFT_OVER_S) {
            struct errctx ctx;
            if (file_remove_tree(dirfd(dir), entry->d_name, &ctx) != ERR_OK)
                log_warn(
                    "a half unpacked template stays behind dir=%s error=%s", path, LOG_Q(ctx.text));
        }
    }
    closedir(dir);
}

struct templates *templates_new(struct loop *l, struct bus_client *scheduler, const char *data_dir,
    templates_fn on_ready, void *arg)
{
    struct templates *t = mem_alloc(sizeof(*t));
    struct strbuf dir;
    strbuf_init(&dir);
    strbuf_addf(&dir, "%s/templates", data_dir);
    *t = (struct templates){.loop = l,
        .scheduler = scheduler,
        .dir = strbuf_detach(&dir),
        .on_ready = on_ready,
        .arg = arg};
    sweep(t->dir);
    return t;
}

static void fetch_free(struct fetch *f)
{
    file_closep(&f->fd);
    vec_done(&f->waiters);
    free(f);
}

void templates_free(struct templates *t)
{
    if (t == NULL)
        return;
    struct fetch *f;
    for (size_t i = 0; (f = map_next(&t->fetches, &i)) != NULL;) {
        if (f->request != NULL) {
            bus_request_cancel(f->request);
            fetch_free(f);
        } /* else a pool thread has it, and the process is about to end */
    }
    map_done(&t->fetches);
    free(t->dir);
    free(t);
}

/* ---- the end of a fetch ---- */

static char *path_of(const struct templates *t, const struct uuid *file_id)
{
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(&path, "%s/%s", t->dir, uuid_format(file_id).s);
    return strbuf_detach(&path);
}

static void finish(struct fetch *f, enum err code)
{
    struct templates *t = f->templates;
    map_remove(&t->fetches, &f->file_id);
    scoped_free char *path = path_of(t, &f->file_id);
    if (code == ERR_OK) {
        METRIC_ADD(templates, 1);
        log_info("template is here file=%s bytes=%llu", uuid_format(&f->file_id).s,
            (unsigned long long)f->offset);
    }
    for (size_t i = 0; i < f->waiters.n; i++)
        t->on_ready(t->arg, &f->waiters.v[i].job_id, f->waiters.v[i].token, code,
            code == ERR_OK ? path : NULL, &f->ctx);
    fetch_free(f);
}

/* ---- unpacking, on a pool thread ---- */

static enum err unpack_beside(
    const struct fetch *f, int dir_fd, const char *temp, struct errctx *ctx)
{
    struct uuid_str name = uuid_format(&f->file_id);
    scoped_fd int temp_fd = -1;
    enum err e = file_make_dir(dir_fd, temp, 0755, ctx);
    if (e == ERR_OK)
        e = file_open_dir(dir_fd, temp, &temp_fd, ctx);
    if (e == ERR_OK && (fchmod(temp_fd, 0755) != 0 || lseek(f->fd, 0, SEEK_SET) != 0))
        e = file_errno(ctx, "cannot unpack the template");
    if (e == ERR_OK)
        e = unpack_archive(f->fd, temp_fd, &UNPACK_LIMIT, ctx);
    if (e == ERR_OK && renameat(dir_fd, temp, dir_fd, name.s) != 0 && errno != EEXIST &&
        errno != ENOTEMPTY)
        e = file_errno(ctx, "cannot unpack the template");
    return e;
}

static void unpack_work(void *arg)
{
    struct fetch *f = arg;
    uint64_t random;
    rng_bytes(&random, sizeof(random));
    char temp[40];
    snprintf(temp, sizeof(temp), ".new-%016llx", (unsigned long long)random);

    scoped_fd int dir_fd = -1;
    f->code = file_open_dir(AT_FDCWD, f->templates->dir, &dir_fd, &f->ctx);
    if (f->code != ERR_OK)
        return;
    f->code = unpack_beside(f, dir_fd, temp, &f->ctx);
    struct errctx ignored;
    enum err left = file_remove_tree(dir_fd, temp, &ignored); /* failed, or another was first */
    (void)left;
}

static void unpack_done(void *arg)
{
    struct fetch *f = arg;
    finish(f, f->code);
}

/* ---- fetching ---- */

static enum err take_chunk(struct fetch *f, const Stint__V1__FileChunk *chunk)
{
    if (chunk->total_bytes > ARCHIVE_BYTES_MAX)
        return err_set(&f->ctx, ERR_TOO_LARGE, "the template's archive is larger than %lld MiB",
            ARCHIVE_BYTES_MAX >> 20);
    if (chunk->data.len == 0 && f->offset < chunk->total_bytes)
        return err_set(&f->ctx, ERR_UNAVAILABLE, "the template's archive ends early");
    for (size_t done = 0; done < chunk->data.len;) {
        ssize_t n = pwrite(
            f->fd, chunk->data.data + done, chunk->data.len - done, (off_t)(f->offset + done));
        if (n < 0 && errno != EINTR)
            return file_errno(&f->ctx, "cannot keep the template's archive");
        done += n > 0 ? (size_t)n : 0;
    }
    f->offset += chunk->data.len;
    return ERR_OK;
}

static enum err refusal_of(struct fetch *f, enum err code, const Stint__V1__Envelope *reply)
{
    if (code != ERR_OK)
        return err_set(&f->ctx, err_is_retryable(code) ? code : ERR_UNAVAILABLE,
            "cannot fetch the template: %s", err_text(code));
    if (reply->body_case != STINT__V1__ENVELOPE__BODY_STATUS)
        return err_set(&f->ctx, ERR_UNAVAILABLE,
            "cannot fetch the template: the scheduler's answer makes no sense");
    if (reply->status->code == REFUSAL_FILE_UNKNOWN)
        return err_set(&f->ctx, ERR_NOT_FOUND,
            "the template's archive is not in the database any more; push the template again");
    return err_set(&f->ctx, ERR_UNAVAILABLE, "cannot fetch the template: %s",
        refusal_row(reply->status->code)->message);
}

static void on_chunk(void *arg, enum err code, const Stint__V1__Envelope *reply)
{
    struct fetch *f = arg;
    f->request = NULL;
    enum err e;
    if (code != ERR_OK || reply->body_case != STINT__V1__ENVELOPE__BODY_FILE_CHUNK)
        e = refusal_of(f, code, reply);
    else
        e = take_chunk(f, reply->file_chunk);
    if (e != ERR_OK)
        finish(f, e);
    else if (f->offset < reply->file_chunk->total_bytes)
        ask(f);
    else
        loop_work(f->templates->loop, unpack_work, unpack_done, f);
}

static void ask(struct fetch *f)
{
    Stint__V1__FileGet get = STINT__V1__FILE_GET__INIT;
    get.file_id = wire_uuid(&f->file_id);
    get.offset = f->offset;
    Stint__V1__Envelope request = wire_envelope(STINT__V1__ENVELOPE__BODY_FILE_GET);
    request.file_get = &get;
    f->request = bus_send(f->templates->scheduler, &request, CHUNK_WAIT_MS, on_chunk, f);
}

static enum err begin(
    struct templates *t, const struct uuid *file_id, struct fetch **ret_fetch, struct errctx *ctx)
{
    int fd = open(t->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && errno == ENOENT && mkdir(t->dir, 0711) == 0) /* the cache was thrown away */
        fd = open(t->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return file_errno(ctx, "cannot keep a template's archive in %.100s", t->dir);
    struct fetch *f = mem_alloc(sizeof(*f));
    *f = (struct fetch){.templates = t, .file_id = *file_id, .fd = fd};
    map_put(&t->fetches, file_id, f);
    ask(f);
    *ret_fetch = f;
    return ERR_OK;
}

void templates_want(
    struct templates *t, const struct uuid *file_id, const struct uuid *job_id, uint64_t token)
{
    scoped_free char *path = path_of(t, file_id);
    struct errctx ctx = {0};
    struct fetch *f = map_get(&t->fetches, file_id);
    enum err e = ERR_OK;
    if (f == NULL && access(path, F_OK) == 0) {
        t->on_ready(t->arg, job_id, token, ERR_OK, path, &ctx);
        return;
    }
    if (f == NULL)
        e = begin(t, file_id, &f, &ctx);
    if (e != ERR_OK)
        t->on_ready(t->arg, job_id, token, e, NULL, &ctx);
    else
        *vec_push(&f->waiters) = (struct waiter){*job_id, token};
}
