/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   --boundary\r\n
 *   Content-Disposition: form-data; name="file"; filename="a.txt"\r\n
 *   …\r\n
 *   \r\n
 *   content\r\n
 *   --boundary--
 */
#include "agent/agentapi/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/file.h"
#include "core/base/cleanup.h"
#include "core/base/text.h"

#define BOUNDARY_MAX 70 /* RFC 2046 */
#define NAME_BYTES   200

struct span {
    const char *s;
    size_t n;
};

/* ---- header fields ---- */

/* `name=value` or `name="value"` behind a semicolon; s NULL when it is not there. */
static struct span parameter(struct span field, const char *name)
{
    const char *end = field.s + field.n;
    size_t name_n = strlen(name);
    for (const char *p = field.s; (p = memchr(p, ';', (size_t)(end - p))) != NULL;) {
        for (p++; p < end && (*p == ' ' || *p == '\t');)
            p++;
        if ((size_t)(end - p) <= name_n || strncasecmp(p, name, name_n) != 0 || p[name_n] != '=')
            continue;
        p += name_n + 1;
        bool is_quoted = p < end && *p == '"';
        p += is_quoted;
        const char *stop = p;
        while (stop < end && *stop != (is_quoted ? '"' : ';') && (is_quoted || *stop != ' '))
            stop += *stop == '\\' && stop + 1 < end ? 2 : 1;
        return (struct span){p, (size_t)(stop - p)};
    }
    return (struct span){0};
}

/* The value of a header field in a part's header; s NULL when it is not there. */
static struct span part_field(struct span head, const char *name)
{
    size_t name_n = strlen(name);
    for (const char *p = head.s, *end = head.s + head.n; p < end;) {
        const char *stop = memmem(p, (size_t)(end - p), "\r\n", 2);
        if (stop == NULL)
            stop = end;
        if ((size_t)(stop - p) > name_n && strncasecmp(p, name, name_n) == 0 && p[name_n] == ':')
            return (struct span){p + name_n + 1, (size_t)(stop - p) - name_n - 1};
        p = stop + 2;
    }
    return (struct span){0};
}

/* ---- the form ---- */

static enum err find_boundary(
    const char *content_type, char ret_mark[static BOUNDARY_MAX + 5], struct errctx *ctx)
{
    static const char multipart[] = "multipart/form-data";
    if (content_type == NULL || strncasecmp(content_type, multipart, strlen(multipart)) != 0)
        return err_set(ctx, ERR_INVALID, "the request is no multipart form");
    struct span b = parameter((struct span){content_type, strlen(content_type)}, "boundary");
    if (b.s == NULL || b.n == 0 || b.n > BOUNDARY_MAX)
        return err_set(ctx, ERR_INVALID, "the form has no boundary");
    snprintf(ret_mark, BOUNDARY_MAX + 5, "\r\n--%.*s", (int)b.n, b.s);
    return ERR_OK;
}

static bool is_file(struct span head, struct upload_part *part)
{
    struct span disposition = part_field(head, "Content-Disposition");
    if (disposition.s == NULL)
        return false;
    struct span field = parameter(disposition, "name");
    struct span file = parameter(disposition, "filename");
    if (field.n != 4 || memcmp(field.s, "file", 4) != 0 || file.s == NULL)
        return false;
    part->name = file.s;
    part->name_n = file.n;
    return true;
}

enum err upload_find(const char *content_type, const char *body, size_t n,
    struct upload_part *ret_part, struct errctx *ctx)
{
    char mark[BOUNDARY_MAX + 5];
    enum err e = find_boundary(content_type, mark, ctx);
    if (e != ERR_OK)
        return e;
    size_t mark_n = strlen(mark);
    const char *end = body + n, *p = body;
    if (n >= mark_n - 2 && memcmp(body, mark + 2, mark_n - 2) == 0)
        p += mark_n - 2; /* the first one stands at the begin of the body */
    else if ((p = memmem(body, n, mark, mark_n)) != NULL)
        p += mark_n;
    while (p != NULL && end - p > 2 && memcmp(p, "\r\n", 2) == 0) {
        /* A part without header fields has the blank line at once. */
        const char *behind = memmem(p, (size_t)(end - p), "\r\n\r\n", 4);
        if (behind == NULL)
            break;
        struct span head = {p + 2, behind > p ? (size_t)(behind - p) - 2 : 0};
        const char *data = behind + 4;
        const char *stop = memmem(data - 2, (size_t)(end - data) + 2, mark, mark_n);
        if (stop == NULL)
            break;
        struct upload_part part = {.data = data, .n = stop > data ? (size_t)(stop - data) : 0};
        if (is_file(head, &part)) {
            *ret_part = part;
            return ERR_OK;
        }
        p = stop + mark_n;
    }
    return err_set(ctx, ERR_INVALID, "the form has no file in a field \"file\"");
}

/* ---- the file ---- */

void upload_name(const char *name, size_t n, struct strbuf *out)
{
    size_t begin = out->len;
    for (size_t i = n; i-- > 0;) {
        if (name[i] != '/' && name[i] != '\\')
            continue;
        name += i + 1;
        n -= i + 1;
        break;
    }
    if (!text_is_utf8(name, n))
        n = 0;
    n = text_utf8_prefix(name, n, NAME_BYTES);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)name[i];
        strbuf_addch(out, c < ' ' || c == 0x7f || c == '"' ? '_' : name[i]);
    }
    const char *made = out->s + begin;
    if (made[0] == '\0' || strcmp(made, ".") == 0 || strcmp(made, "..") == 0)
        strbuf_addstr(out, "file");
}

static enum err make_dir(
    const char *dir, const struct upload_part *part, struct strbuf *path, struct errctx *ctx)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)part->data, part->n);
    strbuf_addf(path, "%s/", dir);
    for (int i = 0; i < 8; i++)
        strbuf_addf(path, "%02x", hash[i]);
    if (mkdir(path->s, 0755) != 0 && errno != EEXIST)
        return err_set(ctx, file_err(errno), "%s: %s", path->s, strerror(errno));
    strbuf_addch(path, '/');
    upload_name(part->name, part->name_n, path);
    return ERR_OK;
}

enum err upload_save(
    const char *dir, const struct upload_part *part, struct strbuf *ret_path, struct errctx *ctx)
{
    scoped(strbuf_done) struct strbuf path;
    strbuf_init(&path);
    enum err e = make_dir(dir, part, &path, ctx);
    if (e != ERR_OK)
        return e;
    int fd = open(path.s, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return err_set(ctx, file_err(errno), "%s: %s", path.s, strerror(errno));
    e = file_write(fd, part->data, part->n, ctx);
    if (close(fd) != 0 && e == ERR_OK)
        e = err_set(ctx, file_err(errno), "%s: %s", path.s, strerror(errno));
    if (e == ERR_OK)
        strbuf_add(ret_path, path.s, path.len);
    else
        unlink(path.s);
    return e;
}
