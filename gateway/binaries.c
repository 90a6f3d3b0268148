/* SPDX-License-Identifier: Apache-2.0 */
/*
 * binaries.c - a file is read once, on a thread, and its bytes are shared by all answers; it is
 * read again when another file has taken its place.  A request looks whether that is so.
 */
#include "gateway/binaries.h"

#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"
#include "gateway/request.h"
#include "gateway/task_cache.h"

#define BINARY_BYTES_MAX (64 * 1024 * 1024)
#define DIGEST_SUFFIX    ".sha256"

static const struct binary_row {
    const char *arch, *machine; /* in Go's words, and in uname's */
    const char *name, *coder_name;
} rows[] = {
    {"amd64", "x86_64",  "stint-agent-linux-amd64", "coder-linux-amd64"},
    {"arm64", "aarch64", "stint-agent-linux-arm64", "coder-linux-arm64"},
};

struct binary {
    struct stat seen; /* the file that was read */
    char digest[2 * crypto_hash_sha256_BYTES + 1];
    struct task_blob *bytes; /* NULL: nothing was read */
};

struct binaries {
    struct gateway *gw;
    char *dir; /* of the gateway's program */
    struct binary row[COUNT(rows)];
};

/* ---- where the files are ---- */

static char *own_directory(void)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL)
        *slash = '\0';
    return mem_strdup(slash != NULL ? self : ".");
}

struct binaries *binaries_new(struct gateway *gw)
{
    struct binaries *b = mem_alloc(sizeof(*b));
    *b = (struct binaries){.gw = gw, .dir = own_directory()};
    return b;
}

void binaries_free(struct binaries *b)
{
    if (b == NULL)
        return;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (b->row[i].bytes != NULL)
            task_blob_unref(b->row[i].bytes);
    free(b->dir);
    free(b);
}

#if defined(__x86_64__)
#define OWN_MACHINE "x86_64"
#elif defined(__aarch64__)
#define OWN_MACHINE "aarch64"
#else
#define OWN_MACHINE ""
#endif

static int open_file(const char *format, const char *dir, const char *name)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof(path), format, dir, name);
    return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

/* -1: there is none. */
static int open_binary(const struct binaries *b, const struct binary_row *row)
{
    const char *dir = b->gw->conf.bin_dir;
    if (dir != NULL && dir[0] != '\0')
        return open_file("%s/%s", dir, row->name);
    /* As installed; as installed for this machine alone; in a build tree. */
    static const char *const places[] = {"%s/%s", "%s/stint-agent", "%s/../agent/stint-agent"};
    int fd = open_file(places[0], b->dir, row->name);
    for (size_t i = 1; fd < 0 && i < COUNT(places) && strcmp(row->machine, OWN_MACHINE) == 0; i++)
        fd = open_file(places[i], b->dir, "");
    return fd;
}

/* ---- reading one ---- */

struct fetch_binary {
    struct request *r;
    size_t i;
    bool wants_digest;
    struct stat seen; /* what the gateway has; then what there is */
    bool is_new;
    struct task_blob *bytes;
    char digest[2 * crypto_hash_sha256_BYTES + 1];
};

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool read_all(int fd, char *to, size_t n)
{
    size_t done = 0;
    for (ssize_t got; done < n; done += (size_t)got) {
        got = read(fd, to + done, n - done);
        if (got <= 0)
            return false;
    }
    return true;
}

static void digest(struct fetch_binary *f)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)f->bytes->json, f->bytes->n);
    sodium_bin2hex(f->digest, sizeof(f->digest), hash, sizeof(hash));
}

static void look_at(struct fetch_binary *f, int fd)
{
    struct stat st;
    bool is_file = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
                   st.st_size <= BINARY_BYTES_MAX;
    f->is_new = !is_file || !is_same(&st, &f->seen);
    if (!f->is_new || !is_file)
        return;
    f->seen = st;
    f->bytes = task_blob_new((size_t)st.st_size, 0);
    if (read_all(fd, f->bytes->json, (size_t)st.st_size))
        digest(f);
    else
        task_blob_unref(steal(f->bytes));
}

/* On a thread. */
static void look(void *arg)
{
    struct fetch_binary *f = arg;
    int fd = open_binary(f->r->gw->binaries, &rows[f->i]);
    look_at(f, fd);
    if (fd >= 0)
        close(fd);
}

/* ---- answering ---- */

static void answer_none(struct request *r, const struct binary_row *row)
{
    char detail[512];
    const char *dir = r->gw->conf.bin_dir;
    bool is_set = dir != NULL && dir[0] != '\0';
    snprintf(detail, sizeof(detail),
        "There is no file %s %s%.256s. Build stint-agent for that machine (docs/TEMPLATES.md, "
        "\"Agents that live elsewhere\") and put it there under this name%s.",
        row->name, is_set ? "in " : "beside the gateway's program in ",
        is_set ? dir : r->gw->binaries->dir, is_set ? "" : ", or name its directory with bin_dir");
    char message[96];
    snprintf(message, sizeof(message), "This gateway has no agent for linux/%s.", row->arch);
    answer_error(r, 404, message, detail);
}

static bool has_already(const struct request *r, const char *tag)
{
    return r->if_none_match != NULL &&
           (strcmp(r->if_none_match, "*") == 0 || strstr(r->if_none_match, tag) != NULL);
}

static void answer_binary(struct request *r, const struct binary *b)
{
    char tag[2 * crypto_hash_sha256_BYTES + 3];
    snprintf(tag, sizeof(tag), "\"%s\"", b->digest);
    answer_header(r, "etag:", tag);
    answer_header(r, "cache-control:", "no-cache");
    answer_header(r, "x-stint-sha256:", b->digest);
    if (has_already(r, tag))
        answer_empty(r, 304);
    else
        answer_bytes(r, 200, b->bytes);
}

static void on_looked(void *arg)
{
    struct fetch_binary *f = arg;
    struct request *r = f->r;
    struct binary *b = &r->gw->binaries->row[f->i];
    if (f->is_new) {
        if (b->bytes != NULL)
            task_blob_unref(b->bytes);
        b->bytes = steal(f->bytes);
        b->seen = b->bytes != NULL ? f->seen : (struct stat){0};
        memcpy(b->digest, f->digest, sizeof(b->digest));
    }
    if (b->bytes == NULL) {
        answer_none(r, &rows[f->i]);
    } else if (f->wants_digest) {
        strbuf_addf(&r->out, "%s  %s\n", b->digest, rows[f->i].name);
        answer_text(r, 200, "text/plain; charset=utf-8");
    } else {
        answer_binary(r, b);
    }
}

static bool find(const char *name, size_t *ret_i, bool *ret_digest)
{
    size_t n = strlen(name), suffix = strlen(DIGEST_SUFFIX);
    *ret_digest = n > suffix && strcmp(name + n - suffix, DIGEST_SUFFIX) == 0;
    n -= *ret_digest ? suffix : 0;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *const names[] = {rows[i].name, rows[i].coder_name};
        for (size_t k = 0; k < COUNT(names); k++)
            if (strlen(names[k]) == n && memcmp(names[k], name, n) == 0) {
                *ret_i = i;
                return true;
            }
    }
    return false;
}

void binary_get(struct request *r)
{
    size_t i;
    bool wants_digest;
    if (!find(request_param(r, 0), &i, &wants_digest)) {
        answer_error(r, 404, "There is no such program.",
            "There are stint-agent-linux-amd64, stint-agent-linux-arm64, the same under "
            "coder-linux-..., and the digest of each under its name with .sha256.");
        return;
    }
    struct fetch_binary *f = request_state(r, sizeof(*f), NULL);
    f->r = r;
    f->i = i;
    f->wants_digest = wants_digest;
    f->seen = r->gw->binaries->row[i].seen;
    loop_work(r->gw->loop, look, on_looked, f);
}
