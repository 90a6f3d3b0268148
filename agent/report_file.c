/* SPDX-License-Identifier: Apache-2.0 */
/* The file format of reports: see the header for the picture. */
#include "agent/report_file.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/file.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/wire/wire.h"

#define NAME       "reports"
#define MAGIC      "STINTRP1"
#define HEAD_BYTES 48
/* Far above the largest report (a chat message of 32 KiB). */
#define PAYLOAD_MAX (256 * 1024)
#define RECORD_MAX  (REPORT_RECORD_HEAD + PAYLOAD_MAX)
#define COPY_BYTES  (64 * 1024)

static uint32_t crc32(const void *data, size_t n)
{
    static uint32_t table[256];
    if (table[1] == 0)
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int bit = 0; bit < 8; bit++)
                c = c & 1 ? (c >> 1) ^ 0xedb88320U : c >> 1;
            table[i] = c;
        }
    const uint8_t *p = data;
    uint32_t crc = 0xffffffffU;
    for (size_t i = 0; i < n; i++)
        crc = table[(crc ^ p[i]) & 0xff] ^ (crc >> 8);
    return ~crc;
}

static void put32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof(v));
}

static void put64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof(v));
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

/* ---- header ---- */

static void head_pack(const struct report_file *f, uint64_t base, uint8_t head[HEAD_BYTES])
{
    memset(head, 0, HEAD_BYTES);
    memcpy(head, MAGIC, 8);
    memcpy(head + 8, f->agent_id.b, 16);
    put64(head + 24, base);
    put64(head + 32, f->next_message_id);
    put32(head + 40, f->last_log_id);
    put32(head + 44, crc32(head, 44));
}

static bool head_unpack(struct report_file *f, const uint8_t head[HEAD_BYTES])
{
    if (memcmp(head, MAGIC, 8) != 0 || get32(head + 44) != crc32(head, 44))
        return false;
    memcpy(f->agent_id.b, head + 8, 16);
    f->base = get64(head + 24);
    f->next_message_id = get64(head + 32);
    f->last_log_id = get32(head + 40);
    return true;
}

/* ---- records ---- */

const uint8_t *report_file_record(const uint8_t *data, size_t n, size_t *ret_payload_bytes)
{
    if (n < REPORT_RECORD_HEAD)
        return NULL;
    size_t bytes = get32(data);
    if (bytes == 0 || bytes > PAYLOAD_MAX || bytes > n - REPORT_RECORD_HEAD)
        return NULL;
    const uint8_t *payload = data + REPORT_RECORD_HEAD;
    if (get32(data + 4) != crc32(payload, bytes))
        return NULL;
    *ret_payload_bytes = bytes;
    return payload;
}

uint64_t report_file_at(const struct report_file *f, size_t i)
{
    return i < f->at.n ? f->at.v[i] : f->end;
}

static enum err write_at(int fd, const uint8_t *data, size_t n, uint64_t at)
{
    while (n > 0) {
        ssize_t written = pwrite(fd, data, n, (off_t)at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return file_err(errno);
        data += written;
        at += (uint64_t)written;
        n -= (size_t)written;
    }
    return ERR_OK;
}

enum err report_file_append(struct report_file *f, const void *payload, size_t n)
{
    if (n == 0 || n > PAYLOAD_MAX)
        return ERR_TOO_LARGE;
    uint8_t *record = mem_alloc(REPORT_RECORD_HEAD + n);
    put32(record, (uint32_t)n);
    put32(record + 4, crc32(payload, n));
    memcpy(record + REPORT_RECORD_HEAD, payload, n);
    enum err e = write_at(f->fd, record, REPORT_RECORD_HEAD + n, f->end);
    free(record);
    if (e != ERR_OK) {
        if (ftruncate(f->fd, (off_t)f->end) != 0)
            log_warn("cannot cut a half-written report, it is cut at the next start");
        return e;
    }
    *vec_push(&f->at) = f->end;
    f->end += REPORT_RECORD_HEAD + n;
    return ERR_OK;
}

/* ---- opening ---- */

/* Is it a chat message?  Keeps next_message_id beyond it; last_log_id likewise. */
static bool note_ids(struct report_file *f, const uint8_t *payload, size_t n)
{
    Stint__V1__Report *report = stint__v1__report__unpack(NULL, n, payload);
    if (report == NULL)
        return false;
    bool is_chat = report->what_case == STINT__V1__REPORT__WHAT_CHAT_MESSAGE;
    if (is_chat && report->chat_message->id >= f->next_message_id)
        f->next_message_id = report->chat_message->id + 1;
    if (report->what_case == STINT__V1__REPORT__WHAT_AGENT_LOG && report->of_agent_id.len == 0 &&
        report->agent_log->id > f->last_log_id)
        f->last_log_id = (uint32_t)report->agent_log->id;
    stint__v1__report__free_unpacked(report, NULL);
    return is_chat;
}

/* One record from the file into `record`; its size with the head, or 0 at the end or a torn one. */
static size_t read_record(const struct report_file *f, uint8_t record[static RECORD_MAX])
{
    ssize_t n = pread(f->fd, record, REPORT_RECORD_HEAD, (off_t)f->end);
    if (n < REPORT_RECORD_HEAD || get32(record) > PAYLOAD_MAX)
        return 0;
    size_t size = REPORT_RECORD_HEAD + get32(record);
    n = pread(f->fd, record, size, (off_t)f->end);
    size_t ignored;
    if (n < 0 || (size_t)n < size || report_file_record(record, size, &ignored) == NULL)
        return 0;
    return size;
}

static enum err scan(struct report_file *f, struct errctx *ctx)
{
    uint8_t *record = mem_alloc(RECORD_MAX);
    f->end = HEAD_BYTES;
    size_t size;
    while ((size = read_record(f, record)) > 0) {
        note_ids(f, record + REPORT_RECORD_HEAD, size - REPORT_RECORD_HEAD);
        *vec_push(&f->at) = f->end;
        f->end += size;
    }
    free(record);
    off_t real_end = lseek(f->fd, 0, SEEK_END);
    if (real_end == (off_t)f->end)
        return ERR_OK;
    log_warn("cut a torn tail off the reports kept=%zu cut_bytes=%lld", f->at.n,
        (long long)real_end - (long long)f->end);
    if (ftruncate(f->fd, (off_t)f->end) != 0)
        return err_set(ctx, file_err(errno), NAME ": cannot cut: %s", strerror(errno));
    return ERR_OK;
}

/* An empty file for f->agent_id. */
static enum err create(struct report_file *f, struct errctx *ctx)
{
    f->base = 0;
    f->end = HEAD_BYTES;
    vec_clear(&f->at);
    return report_file_rewrite(f, 0, 0, ctx);
}

/* The old agent's words stay the old agent's: by its id and number it is known whether they have
 * arrived before. */
static void sign(Stint__V1__Report *r, const struct uuid *agent_id, uint64_t seq)
{
    if (r->of_agent_id.len != 0) /* of a still older one */
        return;
    r->of_agent_id.data = mem_dup(agent_id->b, sizeof(agent_id->b));
    r->of_agent_id.len = sizeof(agent_id->b);
    r->of_seq = seq;
}

static enum err append_report(struct report_file *f, const Stint__V1__Report *r)
{
    size_t n = stint__v1__report__get_packed_size(r);
    uint8_t *payload = mem_alloc(n);
    stint__v1__report__pack(r, payload);
    enum err e = report_file_append(f, payload, n);
    free(payload);
    return e;
}

/* The conversation, what the app has said and what was logged; what was true of the old agent alone
 * (life cycle, health, metadata) went with it. */
static enum err carry(
    struct report_file *f, const struct uuid *of, uint64_t seq, const uint8_t *payload, size_t n)
{
    Stint__V1__Report *r = stint__v1__report__unpack(NULL, n, payload);
    enum err e = ERR_OK;
    if (r != NULL && r->what_case == STINT__V1__REPORT__WHAT_CHAT_MESSAGE) {
        e = append_report(f, r);
    } else if (r != NULL && (r->what_case == STINT__V1__REPORT__WHAT_APP_STATE ||
                                r->what_case == STINT__V1__REPORT__WHAT_AGENT_LOG)) {
        sign(r, of, seq);
        e = append_report(f, r);
    }
    if (r != NULL)
        stint__v1__report__free_unpacked(r, NULL);
    return e;
}

/* What the old agent's file holds, as the new agent's first reports. */
static enum err carry_over(struct report_file *old, struct report_file *f, struct errctx *ctx)
{
    uint8_t *record = mem_alloc(RECORD_MAX);
    enum err e = ERR_OK;
    uint64_t end = old->end;
    for (size_t i = 0; i < old->at.n && e == ERR_OK; i++) {
        old->end = old->at.v[i];
        size_t size = read_record(old, record);
        if (size > 0)
            e = carry(f, &old->agent_id, old->base + i + 1, record + REPORT_RECORD_HEAD,
                size - REPORT_RECORD_HEAD);
    }
    old->end = end;
    free(record);
    return e == ERR_OK ? e : err_set(ctx, e, NAME ": cannot carry the old reports over");
}

/* The file of an earlier build.  The new one takes its place only when it is complete. */
static enum err succeed(struct report_file *old, struct report_file *f, struct errctx *ctx)
{
    f->next_message_id = old->next_message_id;
    f->end = HEAD_BYTES;
    enum err e = file_begin(f->dir, NAME, &f->fd, ctx);
    if (e != ERR_OK)
        return e;
    uint8_t head[HEAD_BYTES];
    head_pack(f, 0, head);
    e = write_at(f->fd, head, sizeof(head), 0);
    if (e != ERR_OK)
        return err_set(ctx, e, NAME ": %s", err_text(e));
    e = carry_over(old, f, ctx);
    return e != ERR_OK ? e : file_finish(f->dir, NAME, f->fd, ctx);
}

static enum err set_aside(struct report_file *f, struct errctx *ctx)
{
    log_error("the file of reports is damaged, kept as " NAME ".bad");
    if (renameat(f->dir, NAME, f->dir, NAME ".bad") != 0)
        return err_set(ctx, ERR_IO, NAME ": cannot set aside: %s", strerror(errno));
    /* Ids only have to grow; seconds are beyond any id that was given. */
    f->next_message_id = (uint64_t)clock_wall_us() / 1000000;
    return create(f, ctx);
}

enum err report_file_open(
    struct report_file *f, int dir, const struct uuid *agent_id, struct errctx *ctx)
{
    *f = (struct report_file){.dir = dir, .fd = -1, .agent_id = *agent_id};
    struct report_file found = {.dir = dir};
    found.fd = openat(dir, NAME, O_RDWR | O_CLOEXEC);
    if (found.fd < 0 && errno == ENOENT)
        return create(f, ctx);
    if (found.fd < 0)
        return err_set(ctx, ERR_IO, NAME ": %s", strerror(errno));
    uint8_t head[HEAD_BYTES];
    enum err e;
    if (pread(found.fd, head, sizeof(head), 0) != HEAD_BYTES || !head_unpack(&found, head)) {
        e = set_aside(f, ctx);
    } else if ((e = scan(&found, ctx)) == ERR_OK && uuid_eq(&found.agent_id, agent_id)) {
        *f = found;
        return ERR_OK;
    } else if (e == ERR_OK) {
        e = succeed(&found, f, ctx);
    }
    report_file_close(&found);
    return e;
}

void report_file_close(struct report_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    vec_done(&f->at);
}

/* ---- making it smaller ---- */

static enum err copy_range(int from, int to, uint64_t at, uint64_t end, struct errctx *ctx)
{
    uint8_t *block = mem_alloc(COPY_BYTES);
    enum err e = ERR_OK;
    while (at < end && e == ERR_OK) {
        size_t want = end - at < COPY_BYTES ? (size_t)(end - at) : COPY_BYTES;
        ssize_t n = pread(from, block, want, (off_t)at);
        if (n <= 0)
            e = err_set(ctx, ERR_IO, NAME ": %s", n < 0 ? strerror(errno) : "shorter than it was");
        else
            e = file_write(to, block, (size_t)n, ctx);
        at += n > 0 ? (uint64_t)n : 0;
    }
    free(block);
    return e;
}

static void drop_index(struct report_file *f, size_t n_drop, uint64_t shift)
{
    f->at.n -= n_drop;
    for (size_t i = 0; i < f->at.n; i++)
        f->at.v[i] = f->at.v[i + n_drop] - shift;
}

enum err report_file_rewrite(
    struct report_file *f, size_t n_drop, uint64_t base, struct errctx *ctx)
{
    uint64_t from = report_file_at(f, n_drop);
    uint8_t head[HEAD_BYTES];
    head_pack(f, base, head);
    int fd;
    enum err e = file_begin(f->dir, NAME, &fd, ctx);
    if (e != ERR_OK)
        return e;
    e = file_write(fd, head, sizeof(head), ctx);
    if (e == ERR_OK)
        e = copy_range(f->fd, fd, from, f->end, ctx);
    if (e == ERR_OK)
        e = file_finish(f->dir, NAME, fd, ctx);
    if (e != ERR_OK) {
        close(fd);
        return e;
    }
    drop_index(f, n_drop, from - HEAD_BYTES);
    if (f->fd >= 0)
        close(f->fd);
    f->fd = fd;
    f->base = base;
    f->end = f->end - from + HEAD_BYTES;
    return ERR_OK;
}

enum err report_file_reset(struct report_file *f, uint64_t base, struct errctx *ctx)
{
    uint8_t head[HEAD_BYTES];
    head_pack(f, base, head);
    if (write_at(f->fd, head, sizeof(head), 0) != ERR_OK || fdatasync(f->fd) != 0 ||
        ftruncate(f->fd, HEAD_BYTES) != 0)
        return err_set(ctx, file_err(errno), NAME ": %s", strerror(errno));
    f->base = base;
    f->end = HEAD_BYTES;
    vec_clear(&f->at);
    return ERR_OK;
}
