/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store of reports: the file plus three numbers (committed <= durable <= last) and the few
 * statements that the disk would not take yet.  Of a report only its place in the file is in
 * memory.
 */
#include "agent/reports.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/report_file.h"
#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"

/* The file is written anew when this much of it, and more than half, is committed. */
#define DEAD_BYTES_MIN  (64 * 1024)
#define DISK_RETRY_MS   1000
#define RECORD_OVERHEAD 64

/* A statement that must be made, waiting for the disk. */
struct late {
    struct list item;
    size_t n;
    uint8_t payload[];
};

struct sync {
    struct reports *reports;
    int fd;
    uint64_t target;
    unsigned generation;
    int error;
    loop_fn done;
    void *arg;
};

struct reports {
    struct report_file file;
    uint64_t committed, durable;
    size_t bytes_max, n_max;
    struct list late;
    struct sync sync;    /* fd >= 0: under way */
    unsigned generation; /* changes when the file is written anew */
    bool is_suspect;     /* a sync failed: what it covered must be written once more */
    enum err disk;       /* what it said last; ERR_OK: it takes everything */
    int64_t retry_mono_ms;
    uint8_t *scratch; /* for packing */
    size_t scratch_room;
};

enum err reports_open(
    int dir, const struct uuid *agent_id, struct reports **ret_reports, struct errctx *ctx)
{
    scoped(reports_freep) struct reports *r = mem_alloc(sizeof(*r));
    list_init(&r->late);
    r->sync.fd = -1;
    r->file.fd = -1;
    reports_set_limits(r, REPORTS_BYTES_MAX, REPORTS_MAX);
    enum err e = report_file_open(&r->file, dir, agent_id, ctx);
    if (e != ERR_OK)
        return e;
    r->committed = r->file.base;
    /* What the last process wrote may still be in the page cache only. */
    r->durable = r->file.base;
    *ret_reports = steal(r);
    return ERR_OK;
}

void reports_set_limits(struct reports *r, size_t bytes_max, size_t n_max)
{
    r->bytes_max = bytes_max;
    r->n_max = n_max;
}

uint64_t reports_last(const struct reports *r)
{
    return r->file.base + r->file.at.n;
}

uint64_t reports_durable(const struct reports *r)
{
    return r->durable;
}

uint64_t reports_committed(const struct reports *r)
{
    return r->committed;
}

bool reports_is_settled(const struct reports *r)
{
    return r->committed == reports_last(r) && list_is_empty(&r->late);
}

uint64_t reports_next_message_id(const struct reports *r)
{
    return r->file.next_message_id;
}

uint64_t reports_next_log_id(const struct reports *r)
{
    return r->file.last_log_id + UINT64_C(1);
}

/* Records of the file that are committed. */
static size_t n_dead(const struct reports *r)
{
    return (size_t)(r->committed - r->file.base);
}

static uint64_t live_bytes(const struct reports *r)
{
    return r->file.end - report_file_at(&r->file, n_dead(r));
}

bool reports_is_full(const struct reports *r)
{
    return r->file.at.n - n_dead(r) >= r->n_max || live_bytes(r) >= r->bytes_max;
}

/* ---- adding ---- */

static size_t pack(struct reports *r, const Stint__V1__Report *report)
{
    size_t n = stint__v1__report__get_packed_size(report);
    if (n > r->scratch_room) {
        r->scratch_room = n + RECORD_OVERHEAD;
        r->scratch = mem_realloc(r->scratch, r->scratch_room);
    }
    return stint__v1__report__pack(report, r->scratch);
}

static void note_disk(struct reports *r, enum err e)
{
    if (e != ERR_OK && r->disk == ERR_OK)
        log_error("cannot write reports, trying every second error=%s", LOG_Q(err_text(e)));
    else if (e == ERR_OK && r->disk != ERR_OK)
        log_info("reports can be written again");
    r->disk = e;
    if (e != ERR_OK)
        r->retry_mono_ms = clock_mono_ms() + DISK_RETRY_MS;
}

/* The disk is asked once a second while it refuses. */
static enum err append(struct reports *r, const uint8_t *payload, size_t n)
{
    if (r->disk != ERR_OK && clock_mono_ms() < r->retry_mono_ms)
        return r->disk;
    enum err e = report_file_append(&r->file, payload, n);
    note_disk(r, e);
    return e;
}

static bool add_late(struct reports *r)
{
    while (!list_is_empty(&r->late)) {
        struct late *first = container_of(r->late.next, struct late, item);
        if (append(r, first->payload, first->n) != ERR_OK)
            return false;
        list_unlink(&first->item);
        free(first);
    }
    return true;
}

static void take_id(struct reports *r, const Stint__V1__Report *report)
{
    if (report->what_case == STINT__V1__REPORT__WHAT_AGENT_LOG &&
        report->agent_log->id > r->file.last_log_id)
        r->file.last_log_id = (uint32_t)report->agent_log->id;
    if (report->what_case == STINT__V1__REPORT__WHAT_CHAT_MESSAGE &&
        report->chat_message->id >= r->file.next_message_id)
        r->file.next_message_id = report->chat_message->id + 1;
}

enum err reports_add(struct reports *r, const Stint__V1__Report *report)
{
    if (!add_late(r))
        return r->disk;
    if (reports_is_full(r))
        return ERR_FULL;
    size_t n = pack(r, report);
    enum err e = append(r, r->scratch, n);
    if (e == ERR_OK)
        take_id(r, report);
    return e;
}

void reports_add_always(struct reports *r, const Stint__V1__Report *report)
{
    size_t n = pack(r, report);
    take_id(r, report);
    if (add_late(r) && append(r, r->scratch, n) == ERR_OK)
        return;
    struct late *late = mem_alloc(sizeof(*late) + n);
    late->n = n;
    memcpy(late->payload, r->scratch, n);
    list_append(&r->late, &late->item);
}

/* ---- to disk ---- */

static enum err rewrite(struct reports *r, uint64_t base, struct errctx *ctx)
{
    enum err e = report_file_rewrite(&r->file, n_dead(r), base, ctx);
    if (e != ERR_OK)
        return e;
    r->generation++;
    r->committed = base;
    r->durable = reports_last(r);
    r->is_suspect = false;
    return ERR_OK;
}

static bool sync_failed(struct reports *r, const char *what)
{
    log_error("cannot bring reports to disk, trying again in 1s error=%s", LOG_Q(what));
    r->is_suspect = true;
    r->retry_mono_ms = clock_mono_ms() + DISK_RETRY_MS;
    return false;
}

static void sync_work(void *arg)
{
    struct sync *sync = arg;
    sync->error = fdatasync(sync->fd) == 0 ? 0 : errno;
}

static void sync_done(void *arg)
{
    struct sync *sync = arg;
    struct reports *r = sync->reports;
    close(sync->fd);
    sync->fd = -1;
    if (sync->generation == r->generation && sync->error == 0)
        r->durable = sync->target > r->durable ? sync->target : r->durable;
    else if (sync->generation == r->generation)
        sync_failed(r, strerror(sync->error));
    sync->done(sync->arg);
}

/* After a failed sync the kernel may have dropped the pages and forgotten: all is written again. */
static bool write_again(struct reports *r)
{
    struct errctx ctx = {0};
    return rewrite(r, r->committed, &ctx) == ERR_OK || sync_failed(r, ctx.text);
}

bool reports_sync(struct reports *r, struct loop *l, loop_fn done, void *arg)
{
    if (r->sync.fd >= 0 || clock_mono_ms() < r->retry_mono_ms || !add_late(r))
        return false;
    if (r->is_suspect && !write_again(r))
        return false;
    if (r->durable == reports_last(r))
        return false;
    /* A descriptor of its own: the file may be replaced meanwhile. */
    int fd = fcntl(r->file.fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return sync_failed(r, strerror(errno));
    r->sync = (struct sync){.reports = r,
        .fd = fd,
        .target = reports_last(r),
        .generation = r->generation,
        .done = done,
        .arg = arg};
    loop_work(l, sync_work, sync_done, &r->sync);
    return true;
}

bool reports_is_syncing(const struct reports *r)
{
    return r->sync.fd >= 0;
}

enum err reports_sync_now(struct reports *r)
{
    if (!add_late(r) || (r->is_suspect && !write_again(r)))
        return ERR_IO;
    if (fdatasync(r->file.fd) != 0) {
        sync_failed(r, strerror(errno));
        return ERR_IO;
    }
    r->durable = reports_last(r);
    return ERR_OK;
}

/* ---- forgetting ---- */

/* On a full disk there may be no room for the new file, however small. */
static void compact(struct reports *r, uint64_t base)
{
    struct errctx ctx = {0};
    enum err e = rewrite(r, base, &ctx);
    if (e == ERR_NO_SPACE && r->committed == reports_last(r)) {
        e = report_file_reset(&r->file, base, &ctx);
        r->generation++;
        r->committed = r->durable = reports_last(r);
    }
    if (e != ERR_OK)
        log_warn("cannot make the file of reports smaller error=%s", LOG_Q(ctx.text));
}

void reports_commit(struct reports *r, uint64_t watermark)
{
    uint64_t last = reports_last(r);
    if (watermark <= r->committed)
        return;
    if (watermark > last) {
        log_error("this disk has lost reports that Postgres has, going on behind them "
                  "last=%llu watermark=%llu",
            (unsigned long long)last, (unsigned long long)watermark);
        compact(r, watermark);
        return;
    }
    r->committed = watermark;
    if (r->durable < watermark)
        r->durable = watermark;
    uint64_t live = live_bytes(r);
    uint64_t dead = r->file.end - live;
    if (dead >= DEAD_BYTES_MIN && dead >= live)
        compact(r, r->committed);
}

void reports_free(struct reports *r)
{
    if (r == NULL)
        return;
    if (r->file.fd >= 0 && n_dead(r) > 0 && r->committed == reports_last(r))
        compact(r, r->committed);
    report_file_close(&r->file);
    struct list *item;
    while ((item = list_pop(&r->late)) != NULL)
        free(container_of(item, struct late, item));
    free(r->scratch);
    free(r);
}

/* ---- reading ---- */

/* How many records from index `i` fit; at least one. */
static size_t batch_size(const struct reports *r, size_t i, size_t n_max, size_t bytes_max)
{
    size_t n_durable = (size_t)(r->durable - r->file.base);
    size_t n = 1;
    while (i + n < n_durable && n < n_max &&
           report_file_at(&r->file, i + n + 1) - r->file.at.v[i] <= bytes_max)
        n++;
    return n;
}

static enum err unpack(
    struct report_batch *b, size_t n, uint64_t seq, const uint8_t *data, size_t bytes)
{
    b->v = mem_calloc(n, sizeof(*b->v));
    while (b->n < n) {
        size_t size;
        const uint8_t *payload = report_file_record(data, bytes, &size);
        Stint__V1__Report *report =
            payload != NULL ? stint__v1__report__unpack(NULL, size, payload) : NULL;
        if (report == NULL)
            return ERR_IO;
        report->seq = seq++;
        b->v[b->n++] = report;
        bytes -= REPORT_RECORD_HEAD + size;
        data += REPORT_RECORD_HEAD + size;
    }
    return ERR_OK;
}

enum err reports_read(struct reports *r, uint64_t from, size_t n_max, size_t bytes_max,
    struct report_batch *ret_batch)
{
    if (from <= r->committed || from > r->durable)
        return ERR_NOT_FOUND;
    size_t i = (size_t)(from - r->file.base - 1);
    size_t n = batch_size(r, i, n_max, bytes_max);
    uint64_t at = r->file.at.v[i];
    size_t bytes = (size_t)(report_file_at(&r->file, i + n) - at);
    scoped_free uint8_t *data = mem_alloc(bytes);
    if (pread(r->file.fd, data, bytes, (off_t)at) != (ssize_t)bytes)
        return ERR_IO;
    struct report_batch batch = {0};
    enum err e = unpack(&batch, n, from, data, bytes);
    if (e == ERR_OK)
        *ret_batch = batch;
    else
        report_batch_done(&batch);
    return e;
}

void report_batch_done(struct report_batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        stint__v1__report__free_unpacked(b->v[i], NULL);
    free(b->v);
    *b = (struct report_batch){0};
}
