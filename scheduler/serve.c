/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve.c - one row per kind of request: decode, call the core, and wait for its effects.
 *
 * A ticket of the core is a `struct call` here.  All open calls hang on one list, so that the end
 * of a leadership can answer every one of them.
 */
#include "scheduler/serve.h"

#include <string.h>

#include <stdio.h>

#include "core/base/cleanup.h"
#include "core/base/list.h"
#include "core/base/parameter.h"
#include "core/base/text.h"
#include "scheduler/metric.h"
#include "scheduler/state.h"
#include "scheduler/work_message.h"

#define CALLS_MAX      20000
#define BULK_MAX       1000
#define QUEUE_LIST_MAX 1001
#define FILE_CHUNK     (1024 * 1024)
#define SERVERS_MAX    8
#define TTL_MS_MAX     UINT64_C(315576000000)      /* ten years */
#define START_US_MAX   INT64_C(253402300799000000) /* the end of the year 9999 */
#define PRIORITY_MAX   100

struct serve {
    struct bus_server *servers[SERVERS_MAX];
    size_t n_servers;
    struct bulk *bulk; /* whose requests are being taken in; NULL: a single one is */
    size_t bulk_at;
    struct core *core; /* NULL: not leading */
    uint64_t epoch;
    struct db *db;
    char *leader_url;
    bool is_closed; /* nothing new is taken in */
    struct serve_leader leader;
    struct list calls;
    const struct state_keys *state_keys;
};

/* Several requests that came as one: answered when the last of them is. */
struct bulk {
    struct bus_call *bus;
    size_t n, n_open;
    bool is_lost; /* the leadership ended before */
    struct {
        uint32_t code;
        char *detail;
        struct uuid task_id, workspace_id, build_id;
    } replies[];
};

struct call {
    struct serve *serve;
    struct bus_call *bus; /* NULL: the i-th of a bulk */
    struct bulk *bulk;
    size_t at;
    bool is_doubtful; /* an earlier leader may have done it: a send, a delete */
    bool is_delete;
    struct list link;
};

static void close_call(struct call *call)
{
    list_unlink(&call->link);
    free(call);
}

static struct call *open_call(struct serve *s, struct bus_call *bus)
{
    struct call *call = mem_alloc(sizeof(*call));
    *call = (struct call){.serve = s, .bus = bus};
    list_append(&s->calls, &call->link);
    if (s->bulk != NULL) {
        call->bulk = s->bulk;
        call->at = s->bulk_at;
        s->bulk->n_open++;
    }
    return call;
}

/* ---- bulks ---- */

static void reply_bulk(struct bulk *b)
{
    Stint__V1__TaskBulkReply m = STINT__V1__TASK_BULK_REPLY__INIT;
    scoped_free Stint__V1__TaskReply *replies = mem_calloc(b->n + 1, sizeof(*replies));
    scoped_free Stint__V1__TaskReply **list = mem_calloc(b->n + 1, sizeof(*list));
    for (size_t i = 0; i < b->n; i++) {
        list[i] = &replies[i];
        stint__v1__task_reply__init(list[i]);
        list[i]->code = b->replies[i].code;
        if (b->replies[i].detail != NULL)
            list[i]->detail = b->replies[i].detail;
        if (uuid_is_nil(&b->replies[i].task_id))
            continue;
        list[i]->task_id = wire_uuid(&b->replies[i].task_id);
        list[i]->workspace_id = wire_uuid(&b->replies[i].workspace_id);
        list[i]->build_id = wire_uuid(&b->replies[i].build_id);
    }
    m.n_reply = b->n;
    m.reply = list;
    Stint__V1__Envelope out = wire_envelope(STINT__V1__ENVELOPE__BODY_TASK_BULK_REPLY);
    out.task_bulk_reply = &m;
    bus_reply(b->bus, &out);
}

/* One of its requests is answered, or all of them are taken in. */
static void bulk_release(struct serve *s, struct bulk *b)
{
    if (--b->n_open > 0)
        return;
    if (b->is_lost)
        bus_reply_not_leader(b->bus, s->leader_url, true);
    else
        reply_bulk(b);
    for (size_t i = 0; i < b->n; i++)
        free(b->replies[i].detail);
    free(b);
}

static void bulk_take(struct bulk *b, size_t at, uint32_t code, const char *detail)
{
    b->replies[at].code = code;
    b->replies[at].detail = detail != NULL ? mem_strdup(detail) : NULL;
}

/* ---- answers to one ---- */

static void refuse(struct call *call, enum refusal code, const char *detail)
{
    if (call->bulk == NULL) {
        bus_reply_status(call->bus, code, detail);
        return;
    }
    bulk_take(call->bulk, call->at, code, detail);
    bulk_release(call->serve, call->bulk);
}

static void lose(struct call *call)
{
    if (call->bulk == NULL) {
        bus_reply_not_leader(call->bus, call->serve->leader_url, true);
        return;
    }
    call->bulk->is_lost = true;
    bulk_release(call->serve, call->bulk);
}

static void malformed(struct serve *s, struct bus_call *bus, const char *what)
{
    if (s->bulk != NULL)
        bulk_take(s->bulk, s->bulk_at, REFUSAL_MALFORMED, what);
    else
        bus_reply_status(bus, REFUSAL_MALFORMED, what);
}

/* ---- requests ---- */

typedef Stint__V1__Envelope envelope;

/* Milliseconds as a database can add them to a time. */
static int64_t pause_of(uint64_t ms)
{
    return (int64_t)(ms < TTL_MS_MAX ? ms : TTL_MS_MAX);
}

/* Borrowed; the caller frees the list.  NULL: one is too long, or there are too many. */
static struct named_text *texts_of(
    Stint__V1__NamedText *const *list, size_t n, size_t n_max, size_t name_max, size_t value_max)
{
    struct named_text *texts = n <= n_max ? mem_calloc(n + 1, sizeof(*texts)) : NULL;
    for (size_t i = 0; texts != NULL && i < n; i++) {
        texts[i] = (struct named_text){list[i]->name, list[i]->value};
        size_t name = strlen(texts[i].name);
        if (name == 0 || name > name_max || strlen(texts[i].value) > value_max) {
            free(texts);
            return NULL;
        }
    }
    return texts;
}

static struct named_text *parameters_of(Stint__V1__NamedText *const *list, size_t n)
{
    return texts_of(list, n, PARAMETERS_MAX, PARAMETER_NAME_MAX, PARAMETER_VALUE_MAX);
}

static struct named_text *labels_of(Stint__V1__NamedText *const *list, size_t n)
{
    return texts_of(list, n, LABELS_MAX, LABEL_NAME_MAX, LABEL_VALUE_MAX);
}

static bool is_priority(int32_t priority)
{
    return priority >= -PRIORITY_MAX && priority <= PRIORITY_MAX;
}

static bool is_start(int64_t us)
{
    return us >= 0 && us <= START_US_MAX;
}

/* The options of a new task; false: they are beyond their limits. */
static bool read_options(const Stint__V1__TaskCreate *m, struct task_create *r,
    struct named_text *parameters, struct named_text *labels)
{
    r->priority = m->priority;
    r->ttl_ms = pause_of(m->ttl_ms);
    r->activity_bump_ms = pause_of(m->activity_bump_ms);
    r->start_after_us = m->start_after_us;
    r->time_limit_ms = pause_of(m->time_limit_ms);
    r->parameters = parameters;
    r->n_parameters = m->n_parameter;
    r->labels = labels;
    r->n_labels = m->n_label;
    return parameters != NULL && labels != NULL && is_priority(m->priority) &&
           is_start(m->start_after_us) &&
           wire_get_uuid(&m->template_version_preset_id, &r->preset_id);
}

static void on_task_create(struct serve *s, struct bus_call *bus, const envelope *e)
{
    const Stint__V1__TaskCreate *m = e->task_create;
    struct task_create r = {.provisioner = m->provisioner,
        .app_slug = m->app_slug,
        .owner_name = m->owner_name,
        .template_name = m->template_name,
        .name = m->name,
        .display_name = m->display_name,
        .prompt = m->prompt};
    scoped_free struct named_text *parameters = parameters_of(m->parameter, m->n_parameter);
    scoped_free struct named_text *labels = labels_of(m->label, m->n_label);
    bool ok = wire_get_uuid(&m->task_id, &r.task_id) && wire_get_uuid(&m->owner_id, &r.owner_id) &&
              wire_get_uuid(&m->organization_id, &r.organization_id) &&
              wire_get_uuid(&m->initiator_id, &r.initiator_id) &&
              wire_get_uuid(&m->template_id, &r.template_id) &&
              wire_get_uuid(&m->template_version_id, &r.version_id) &&
              wire_get_uuid(&m->file_id, &r.file_id) && read_options(m, &r, parameters, labels);
    size_t name = strlen(r.name);
    if (!ok || uuid_is_nil(&r.task_id) || uuid_is_nil(&r.owner_id) || uuid_is_nil(&r.version_id) ||
        name == 0 || name > TASK_NAME_MAX || r.provisioner[0] == '\0') {
        malformed(s, bus, "TaskCreate lacks an id, a name or a provisioner, or has a bad option");
        return;
    }
    core_task_create(s->core, &r, open_call(s, bus));
}

static void expect(struct core *c, const Stint__V1__TaskCondition *m)
{
    struct task_condition only_if = {0};
    if (m == NULL)
        return;
    only_if.revision = m->revision;
    if (!wire_get_uuid(&m->build_id, &only_if.build_id))
        memset(&only_if.build_id, 0xff, sizeof(only_if.build_id)); /* unreadable: never true */
    core_expect(c, &only_if);
}

/* False: it has one, and that is none. */
static bool name_command(struct core *c, ProtobufCBinaryData id)
{
    struct uuid command_id;
    if (!wire_get_uuid(&id, &command_id))
        return false;
    core_command_id(c, &command_id);
    return true;
}

static void resume_with(
    struct serve *s, struct bus_call *bus, const Stint__V1__TaskCommand *m, struct task_resume *r)
{
    scoped_free struct named_text *parameters = parameters_of(m->parameter, m->n_parameter);
    if (parameters == NULL) {
        malformed(s, bus, "TaskCommand has a bad parameter");
        return;
    }
    r->parameters = parameters;
    r->n_parameters = m->n_parameter;
    expect(s->core, m->only_if);
    core_task_resume(s->core, r, open_call(s, bus));
}

static void on_task_command(struct serve *s, struct bus_call *bus, const envelope *e)
{
    const Stint__V1__TaskCommand *m = e->task_command;
    struct uuid task, initiator, build;
    if (!wire_get_uuid(&m->task_id, &task) || !wire_get_uuid(&m->initiator_id, &initiator) ||
        !wire_get_uuid(&m->build_id, &build) ||
        (uuid_is_nil(&build) && m->verb != STINT__V1__TASK_VERB__TASK_VERB_UPDATE_INPUT) ||
        !name_command(s->core, m->command_id)) {
        malformed(s, bus, "TaskCommand lacks an id");
        return;
    }
    if (uuid_is_nil(&task) && m->verb == STINT__V1__TASK_VERB__TASK_VERB_CANCEL) {
        core_import_cancel(s->core, &build, &initiator, open_call(s, bus));
        return;
    }
    if (m->set_parameters && m->verb == STINT__V1__TASK_VERB__TASK_VERB_RESUME) {
        struct task_resume r = {
            .task_id = task, .initiator_id = initiator, .build_id = build, .reason = m->reason};
        resume_with(s, bus, m, &r);
        return;
    }
    expect(s->core, m->only_if);
    bool is_input = m->verb == STINT__V1__TASK_VERB__TASK_VERB_UPDATE_INPUT;
    struct call *call = open_call(s, bus);
    call->is_doubtful = e->again;
    call->is_delete = m->verb == STINT__V1__TASK_VERB__TASK_VERB_DELETE;
    core_task_command(s->core, (enum task_verb)m->verb, &task, &initiator, &build,
        is_input ? m->input : m->reason, call);
}

/* Every bit but those of options that this version does not know. */
static bool options_set(const Stint__V1__TaskUpdate *m, unsigned *ret)
{
    for (size_t i = 0; i < m->n_set; i++) {
        if ((unsigned)m->set[i] < TASK_OPTION_DISPLAY_NAME ||
            (unsigned)m->set[i] > TASK_OPTION_LABELS)
            return false;
        *ret |= 1u << m->set[i];
    }
    return true;
}

static void on_task_update(struct serve *s, struct bus_call *bus, const envelope *e)
{
    const Stint__V1__TaskUpdate *m = e->task_update;
    scoped_free struct named_text *labels = labels_of(m->label, m->n_label);
    struct task_update r = {.display_name = m->display_name,
        .priority = m->priority,
        .start_after_us = m->start_after_us,
        .time_limit_ms = pause_of(m->time_limit_ms),
        .ttl_ms = pause_of(m->ttl_ms),
        .labels = labels,
        .n_labels = m->n_label};
    if (!wire_get_uuid(&m->task_id, &r.task_id) ||
        !wire_get_uuid(&m->initiator_id, &r.initiator_id) || !options_set(m, &r.set) ||
        labels == NULL || !is_priority(m->priority) || !is_start(m->start_after_us) ||
        strlen(m->display_name) > TASK_DISPLAY_NAME_MAX || !name_command(s->core, m->command_id)) {
        malformed(s, bus, "TaskUpdate lacks an id, or has a bad option");
        return;
    }
    expect(s->core, m->only_if);
    core_task_update(s->core, &r, open_call(s, bus));
}

static void on_job_retry(struct serve *s, struct bus_call *bus, const envelope *e)
{
    const Stint__V1__JobRetry *m = e->job_retry;
    struct job_retry r;
    if (!wire_get_uuid(&m->job_id, &r.job_id) || !wire_get_uuid(&m->task_id, &r.task_id) ||
        !wire_get_uuid(&m->initiator_id, &r.initiator_id) || uuid_is_nil(&r.job_id) ||
        !name_command(s->core, m->command_id)) {
        malformed(s, bus, "JobRetry lacks an id");
        return;
    }
    core_job_retry(s->core, &r, open_call(s, bus));
}

static void take_item(struct serve *s, const Stint__V1__TaskBulk__Item *item, bool again)
{
    envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY__NOT_SET);
    e.again = again;
    switch (item->what_case) {
    case STINT__V1__TASK_BULK__ITEM__WHAT_CREATE:
        e.task_create = item->create;
        on_task_create(s, NULL, &e);
        return;
    case STINT__V1__TASK_BULK__ITEM__WHAT_COMMAND:
        e.task_command = item->command;
        on_task_command(s, NULL, &e);
        return;
    case STINT__V1__TASK_BULK__ITEM__WHAT_UPDATE:
        e.task_update = item->update;
        on_task_update(s, NULL, &e);
        return;
    default:
        malformed(s, NULL, "TaskBulk has an item of an unknown kind");
    }
}

/* All of one turn, so of one commit. */
static void on_task_bulk(struct serve *s, struct bus_call *bus, const envelope *e)
{
    const Stint__V1__TaskBulk *m = e->task_bulk;
    if (m->n_item == 0 || m->n_item > BULK_MAX) {
        malformed(s, bus, "TaskBulk has no items, or too many");
        return;
    }
    struct bulk *b = mem_alloc(sizeof(*b) + m->n_item * sizeof(b->replies[0]));
    b->bus = bus;
    b->n = m->n_item;
    b->n_open = 1;
    s->bulk = b;
    for (s->bulk_at = 0; s->bulk_at < b->n; s->bulk_at++)
        take_item(s, m->item[s->bulk_at], e->again);
    s->bulk = NULL;
    bulk_release(s, b);
}

static void on_task_send(struct serve *s, struct bus_call *bus, const envelope *e)
{
    const Stint__V1__TaskSend *m = e->task_send;
    struct uuid task, initiator, send;
    if (!wire_get_uuid(&m->task_id, &task) || !wire_get_uuid(&m->send_id, &send) ||
        !wire_get_uuid(&m->initiator_id, &initiator) || uuid_is_nil(&send)) {
        malformed(s, bus, "TaskSend lacks an id");
        return;
    }
    struct call *call = open_call(s, bus);
    call->is_doubtful = e->again;
    core_task_send(s->core, &task, &initiator, &send, m->input, call);
}

static void on_message_queue(struct serve *s, struct bus_call *bus, const envelope *e)
{
    const Stint__V1__MessageQueue *m = e->message_queue;
    struct uuid task, initiator, message;
    size_t n = strlen(m->content);
    if (!wire_get_uuid(&m->task_id, &task) || !wire_get_uuid(&m->initiator_id, &initiator) ||
        !wire_get_uuid(&m->message_id, &message) || uuid_is_nil(&message) ||
        uuid_is_nil(&initiator) || n == 0 || n > PROMPT_BYTES_MAX) {
        malformed(s, bus, "MessageQueue lacks an id, or its content is empty or too long");
        return;
    }
    core_message_queue(s->core, &task, &initiator, &message, m->content, open_call(s, bus));
}

static void on_message_withdraw(struct serve *s, struct bus_call *bus, const envelope *e)
{
    const Stint__V1__MessageWithdraw *m = e->message_withdraw;
    struct uuid task, initiator, message;
    if (!wire_get_uuid(&m->task_id, &task) || !wire_get_uuid(&m->initiator_id, &initiator) ||
        !wire_get_uuid(&m->message_id, &message)) {
        malformed(s, bus, "MessageWithdraw lacks an id");
        return;
    }
    core_message_withdraw(s->core, &task, &initiator, &message, open_call(s, bus));
}

static void on_app_status(struct serve *s, struct bus_call *bus, const envelope *e)
{
    const Stint__V1__AppStatusReport *m = e->app_status_report;
    struct uuid agent;
    if (!wire_get_uuid(&m->agent_id, &agent)) {
        malformed(s, bus, "AppStatusReport lacks an id");
        return;
    }
    core_app_status(s->core, &agent, m->app_slug, m->state, m->message, m->uri, open_call(s, bus));
}

static void on_template_import(struct serve *s, struct bus_call *bus, const envelope *e)
{
    const Stint__V1__TemplateImport *m = e->template_import;
    struct template_import r = {.provisioner = m->provisioner};
    if (!wire_get_uuid(&m->template_version_id, &r.version_id) ||
        !wire_get_uuid(&m->job_id, &r.job_id) || uuid_is_nil(&r.job_id) ||
        !wire_get_uuid(&m->organization_id, &r.organization_id) ||
        !wire_get_uuid(&m->initiator_id, &r.initiator_id) ||
        !wire_get_uuid(&m->file_id, &r.file_id)) {
        malformed(s, bus, "TemplateImport lacks an id");
        return;
    }
    core_template_import(s->core, &r, open_call(s, bus));
}

/* A reply to a QueueQuery with room for its places. */
struct queue_answer {
    Stint__V1__QueueReply reply;
    Stint__V1__QueueReply__Place *places;
    Stint__V1__QueueReply__Place **list;
};

static void queue_answer_init(struct queue_answer *a, size_t n)
{
    stint__v1__queue_reply__init(&a->reply);
    a->places = mem_calloc(n, sizeof(*a->places));
    a->list = a->reply.place = mem_calloc(n, sizeof(*a->list));
}

static void queue_answer_done(struct queue_answer *a)
{
    free(a->places);
    free(a->list);
}

/* `id` must live until the answer is sent. */
static void add_place(
    struct queue_answer *a, ProtobufCBinaryData task_id, const struct queue_place *at)
{
    if (at->position == 0 && at->starts_in_ms == 0)
        return;
    Stint__V1__QueueReply__Place *p = &a->places[a->reply.n_place];
    stint__v1__queue_reply__place__init(p);
    p->task_id = task_id;
    p->position = at->position;
    p->eta_ms = at->eta_ms;
    p->starts_in_ms = at->starts_in_ms;
    a->list[a->reply.n_place++] = p;
}

static void send_queue_answer(struct serve *s, struct bus_call *bus, struct queue_answer *a)
{
    struct core_counts counts = core_counts(s->core);
    a->reply.size = (uint32_t)counts.waiting;
    a->reply.holding = (uint32_t)counts.holding;
    a->reply.cap = (uint32_t)counts.cap;
    envelope out = wire_envelope(STINT__V1__ENVELOPE__BODY_QUEUE_REPLY);
    out.queue_reply = &a->reply;
    bus_reply(bus, &out);
}

static void list_queue(struct serve *s, struct bus_call *bus, const Stint__V1__QueueQuery__List *m)
{
    size_t max = m->limit < QUEUE_LIST_MAX ? m->limit : QUEUE_LIST_MAX, size;
    scoped(queue_answer_done) struct queue_answer a;
    scoped_free struct queue_entry *entries = mem_calloc(max + 1, sizeof(*entries));
    struct uuid owner;
    queue_answer_init(&a, max + 1);
    if (!wire_get_uuid(&m->owner_id, &owner)) {
        malformed(s, bus, "QueueQuery has a bad id");
        return;
    }
    size_t n = core_queue_list(
        s->core, uuid_is_nil(&owner) ? NULL : &owner, m->after, entries, max, &size);
    a.reply.size_of_owner = (uint32_t)size;
    for (size_t i = 0; i < n; i++)
        add_place(&a, wire_uuid(&entries[i].task_id), &entries[i].place);
    send_queue_answer(s, bus, &a);
}

static void on_queue_query(struct serve *s, struct bus_call *bus, const envelope *e)
{
    const Stint__V1__QueueQuery *m = e->queue_query;
    if (!s->leader.may_speak(s->leader.arg)) {
        bus_reply_not_leader(bus, s->leader_url, false);
        return;
    }
    if (m->list != NULL) {
        list_queue(s, bus, m->list);
        return;
    }
    size_t n = m->n_task_id < 1000 ? m->n_task_id : 1000;
    scoped(queue_answer_done) struct queue_answer a;
    queue_answer_init(&a, n);
    for (size_t i = 0; i < n; i++) {
        struct uuid id;
        if (!wire_get_uuid(&m->task_id[i], &id))
            continue;
        struct queue_place at = core_queue_place(s->core, &id);
        add_place(&a, m->task_id[i], &at);
    }
    send_queue_answer(s, bus, &a);
}

static bool get_uuids(const ProtobufCBinaryData *data, size_t n, struct uuid *ret)
{
    for (size_t i = 0; i < n; i++)
        if (!wire_get_uuid(&data[i], &ret[i]))
            return false;
    return true;
}

static bool get_refs(Stint__V1__JobRef *const *refs, size_t n, struct job_ref *ret)
{
    for (size_t i = 0; i < n; i++) {
        if (!wire_get_uuid(&refs[i]->job_id, &ret[i].id))
            return false;
        ret[i].token = (int64_t)refs[i]->token;
    }
    return true;
}

static void join_words(char *out, size_t size, char *const *words, size_t n)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n && len + strlen(words[i]) + 2 < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s", i > 0 ? "," : "", words[i]);
}

static void on_worker_poll(struct serve *s, struct bus_call *bus, const envelope *e)
{
    const Stint__V1__WorkerPoll *m = e->worker_poll;
    scoped_free struct job_ref *running = mem_calloc(m->n_running, sizeof(*running));
    scoped_free struct uuid *sessions = mem_calloc(m->n_session_agent_id, sizeof(*sessions));
    scoped_free struct uuid *closed = mem_calloc(m->n_closed_agent_id, sizeof(*closed));
    char provisioners[512];
    join_words(provisioners, sizeof(provisioners), m->provisioner, m->n_provisioner);
    struct worker_poll p = {.name = m->name,
        .host = m->host,
        .version = m->version,
        .provisioners = provisioners,
        .agent_url = m->agent_url,
        .slots = (int32_t)m->slots,
        .free_slots = (int32_t)m->free_slots,
        .draining = m->draining,
        .knows_us = m->epoch == s->epoch,
        .sessions_complete = m->sessions_complete,
        .running = running,
        .n_running = m->n_running,
        .sessions = sessions,
        .n_sessions = m->n_session_agent_id,
        .closed = closed,
        .n_closed = m->n_closed_agent_id};
    if (!wire_get_uuid(&m->worker_id, &p.worker_id) || uuid_is_nil(&p.worker_id) ||
        !get_refs(m->running, m->n_running, running) ||
        !get_uuids(m->session_agent_id, m->n_session_agent_id, sessions) ||
        !get_uuids(m->closed_agent_id, m->n_closed_agent_id, closed)) {
        malformed(s, bus, "WorkerPoll has a bad id");
        return;
    }
    core_worker_poll(s->core, &p, open_call(s, bus));
}

static struct row_version_app *apps_of(Stint__V1__ImportedApp *const *app, size_t n)
{
    struct row_version_app *apps = mem_calloc(n, sizeof(*apps));
    for (size_t i = 0; i < n; i++)
        apps[i] = (struct row_version_app){.slug = app[i]->slug,
            .display_name = app[i]->display_name,
            .icon = app[i]->icon,
            .url = app[i]->url,
            .has_health_check = app[i]->has_health_check};
    return apps;
}

static struct row_version_parameter row_of_parameter(const Stint__V1__ImportedParameter *m)
{
    return (struct row_version_parameter){.name = m->name,
        .display_name = m->display_name,
        .description = m->description,
        .icon = m->icon,
        .type = m->type,
        .default_value = m->default_value,
        .regex = m->validation_regex,
        .error = m->validation_error,
        .is_mutable = m->mutable_,
        .required = m->required,
        .has_min = m->has_min,
        .has_max = m->has_max,
        .min = m->validation_min,
        .max = m->validation_max};
}

/* Parameters, their options, presets and their values, as the core takes them. */
struct import_lists {
    struct row_version_app *apps;
    struct row_version_variable *variables;
    struct import_parameter *parameters;
    struct import_preset *presets;
    VEC(struct row_version_option) options;
    VEC(struct named_text) values;
};

static void import_lists_done(struct import_lists *l)
{
    free(l->apps);
    free(l->variables);
    free(l->parameters);
    free(l->presets);
    vec_done(&l->options);
    vec_done(&l->values);
}

/* Everything is gathered before anything is pointed at: the arrays move as they grow. */
static void list_options(struct import_lists *l, const Stint__V1__ImportResult *m)
{
    l->parameters = mem_calloc(m->n_parameter, sizeof(*l->parameters));
    for (size_t i = 0; i < m->n_parameter; i++)
        for (size_t k = 0; k < m->parameter[i]->n_option; k++) {
            const Stint__V1__ImportedOption *o = m->parameter[i]->option[k];
            *vec_push(&l->options) = (struct row_version_option){
                .name = o->name, .value = o->value, .description = o->description, .icon = o->icon};
        }
    for (size_t i = 0, at = 0; i < m->n_parameter; i++) {
        size_t n = m->parameter[i]->n_option;
        l->parameters[i] = (struct import_parameter){
            row_of_parameter(m->parameter[i]), n > 0 ? &l->options.v[at] : NULL, n};
        at += n;
    }
}

static void list_presets(struct import_lists *l, const Stint__V1__ImportResult *m)
{
    l->presets = mem_calloc(m->n_preset, sizeof(*l->presets));
    for (size_t i = 0; i < m->n_preset; i++)
        for (size_t k = 0; k < m->preset[i]->n_parameter; k++)
            *vec_push(&l->values) = (struct named_text){
                m->preset[i]->parameter[k]->name, m->preset[i]->parameter[k]->value};
    for (size_t i = 0, at = 0; i < m->n_preset; i++) {
        const Stint__V1__ImportedPreset *p = m->preset[i];
        l->presets[i] = (struct import_preset){
            .row = {.name = p->name,
                    .description = p->description,
                    .icon = p->icon,
                    .is_default = p->is_default},
            .parameters = p->n_parameter > 0 ? &l->values.v[at] : NULL,
            .n_parameters = p->n_parameter
        };
        at += p->n_parameter;
    }
}

static void list_variables(struct import_lists *l, const Stint__V1__ImportResult *m)
{
    l->variables = mem_calloc(m->n_variable, sizeof(*l->variables));
    for (size_t i = 0; i < m->n_variable; i++)
        l->variables[i] = (struct row_version_variable){.name = m->variable[i]->name,
            .description = m->variable[i]->description,
            .type = m->variable[i]->type,
            .default_value = m->variable[i]->default_value,
            .required = m->variable[i]->required,
            .sensitive = m->variable[i]->sensitive};
}

static void read_import(
    const Stint__V1__ImportResult *m, struct import_lists *lists, struct job_result *r)
{
    r->has_ai_task = m->has_ai_task;
    r->app_slug = m->app_slug;
    r->apps = lists->apps = apps_of(m->app, m->n_app);
    r->n_apps = m->n_app;
    list_options(lists, m);
    list_presets(lists, m);
    list_variables(lists, m);
    r->parameters = lists->parameters;
    r->n_parameters = m->n_parameter;
    r->presets = lists->presets;
    r->n_presets = m->n_preset;
    r->variables = lists->variables;
    r->n_variables = m->n_variable;
    r->resources = m->resources;
    r->external_auth = m->external_auth;
}

static void read_build(
    const Stint__V1__BuildResult *m, struct import_lists *lists, struct job_result *r)
{
    r->apps = lists->apps = apps_of(m->app, m->n_app);
    r->n_apps = m->n_app;
    r->resources = m->resources;
    r->agent = m->agent;
}

static void take_result(
    struct serve *s, const struct uuid *worker_id, const Stint__V1__JobResult *m)
{
    struct job_result r = {.outcome = (enum job_outcome)m->outcome,
        .job.token = (int64_t)m->token,
        .error = m->error,
        .host = m->host,
        .clean = m->clean,
        .n_logs = m->n_log};
    if (!wire_get_uuid(&m->job_id, &r.job.id))
        return;
    scoped(import_lists_done) struct import_lists lists = {0};
    if (m->import != NULL)
        read_import(m->import, &lists, &r);
    else if (m->build != NULL)
        read_build(m->build, &lists, &r);
    scoped_free struct row_log *logs = m->n_log > 0 ? mem_calloc(m->n_log, sizeof(*logs)) : NULL;
    for (size_t i = 0; i < m->n_log; i++)
        logs[i] = (struct row_log){.id = (int64_t)m->log[i]->seq,
            .at_us = m->log[i]->at_us,
            .level = m->log[i]->level,
            .stage = m->log[i]->stage,
            .output = m->log[i]->output};
    r.logs = logs;
    core_job_result(s->core, worker_id, &r);
}

static void on_job_results(struct serve *s, struct bus_call *bus, const envelope *e)
{
    const Stint__V1__JobResults *m = e->job_results;
    struct uuid worker_id;
    if (!wire_get_uuid(&m->worker_id, &worker_id)) {
        malformed(s, bus, "JobResults lacks the worker's id");
        return;
    }
    for (size_t i = 0; i < m->n_result; i++)
        take_result(s, &worker_id, m->result[i]);
    core_answer(s->core, open_call(s, bus), REFUSAL_NONE);
}

static void on_agent_open(struct serve *s, struct bus_call *bus, const envelope *e)
{
    const Stint__V1__AgentOpen *m = e->agent_open;
    struct uuid worker, agent, token;
    if (!wire_get_uuid(&m->worker_id, &worker) || !wire_get_uuid(&m->agent_id, &agent)) {
        malformed(s, bus, "AgentOpen has a bad id");
        return;
    }
    if (!uuid_parse(m->token, &token))
        token = (struct uuid){0}; /* matches no agent */
    core_agent_open(s->core, &worker, &agent, &token, open_call(s, bus));
}

static void on_agent_send_result(struct serve *s, struct bus_call *bus, const envelope *e)
{
    const Stint__V1__AgentSendResult *m = e->agent_send_result;
    struct uuid send;
    if (wire_get_uuid(&m->send_id, &send))
        core_send_result(s->core, &send, refusal_row(m->code)->code, m->detail);
    core_answer(s->core, open_call(s, bus), REFUSAL_NONE);
}

static void on_file_read(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    struct call *call = arg;
    if (code != ERR_OK || n == 0 || db_rows(results[0]) == 0) {
        bus_reply_status(call->bus, code == ERR_OK ? REFUSAL_FILE_UNKNOWN : REFUSAL_STORE_DOWN,
            code == ERR_OK ? NULL : ctx->text);
        close_call(call);
        return;
    }
    Stint__V1__FileChunk chunk = STINT__V1__FILE_CHUNK__INIT;
    size_t bytes;
    const void *data = db_bytes(results[0], 0, 0, &bytes);
    chunk.data = (ProtobufCBinaryData){bytes, (uint8_t *)(uintptr_t)data};
    chunk.total_bytes = (uint64_t)db_int(results[0], 0, 1);
    envelope out = wire_envelope(STINT__V1__ENVELOPE__BODY_FILE_CHUNK);
    out.file_chunk = &chunk;
    bus_reply(call->bus, &out);
    close_call(call);
}

static void on_file_get(struct serve *s, struct bus_call *bus, const envelope *e)
{
    const Stint__V1__FileGet *m = e->file_get;
    struct uuid file;
    if (!wire_get_uuid(&m->file_id, &file) || m->offset > INT32_MAX) {
        malformed(s, bus, "FileGet has a bad id or offset");
        return;
    }
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_STORE_READ_FILE);
    db_add_uuid(b, &file);
    db_add_int8(b, (int64_t)m->offset);
    db_add_int8(b, FILE_CHUNK);
    /* Not on the list of calls: its answer comes from Postgres whoever leads. */
    struct call *call = mem_alloc(sizeof(*call));
    *call = (struct call){.serve = s, .bus = bus};
    db_send(s->db, b, on_file_read, call);
}

static void on_state_put(struct serve *s, struct bus_call *bus, const envelope *e)
{
    state_put(s->state_keys, s->db, s->epoch, bus, e->state_put);
}

static void on_state_get(struct serve *s, struct bus_call *bus, const envelope *e)
{
    state_get(s->state_keys, s->db, bus, e->state_get);
}

static void on_leader_query(struct serve *s, struct bus_call *bus, const envelope *e)
{
    (void)e;
    if (s->leader.may_speak(s->leader.arg))
        bus_reply_status(bus, REFUSAL_NONE, "");
    else
        bus_reply_not_leader(bus, s->leader_url, false);
}

static void on_step_down(struct serve *s, struct bus_call *bus, const envelope *e)
{
    s->leader.on_step_down(s->leader.arg, bus, e);
}

static const struct {
    Stint__V1__Envelope__BodyCase body;
    void (*handle)(struct serve *s, struct bus_call *bus, const envelope *e);
} handlers[] = {
    {STINT__V1__ENVELOPE__BODY_TASK_CREATE,         on_task_create      },
    {STINT__V1__ENVELOPE__BODY_TASK_COMMAND,        on_task_command     },
    {STINT__V1__ENVELOPE__BODY_TASK_UPDATE,         on_task_update      },
    {STINT__V1__ENVELOPE__BODY_TASK_BULK,           on_task_bulk        },
    {STINT__V1__ENVELOPE__BODY_JOB_RETRY,           on_job_retry        },
    {STINT__V1__ENVELOPE__BODY_TASK_SEND,           on_task_send        },
    {STINT__V1__ENVELOPE__BODY_MESSAGE_QUEUE,       on_message_queue    },
    {STINT__V1__ENVELOPE__BODY_MESSAGE_WITHDRAW,    on_message_withdraw },
    {STINT__V1__ENVELOPE__BODY_APP_STATUS_REPORT,   on_app_status       },
    {STINT__V1__ENVELOPE__BODY_QUEUE_QUERY,         on_queue_query      },
    {STINT__V1__ENVELOPE__BODY_TEMPLATE_IMPORT,     on_template_import  },
    {STINT__V1__ENVELOPE__BODY_WORKER_POLL,         on_worker_poll      },
    {STINT__V1__ENVELOPE__BODY_JOB_RESULTS,         on_job_results      },
    {STINT__V1__ENVELOPE__BODY_AGENT_OPEN,          on_agent_open       },
    {STINT__V1__ENVELOPE__BODY_AGENT_SEND_RESULT,   on_agent_send_result},
    {STINT__V1__ENVELOPE__BODY_FILE_GET,            on_file_get         },
    {STINT__V1__ENVELOPE__BODY_STATE_PUT,           on_state_put        },
    {STINT__V1__ENVELOPE__BODY_STATE_GET,           on_state_get        },
    {STINT__V1__ENVELOPE__BODY_LEADER_QUERY,        on_leader_query     },
    {STINT__V1__ENVELOPE__BODY_SCHEDULER_STEP_DOWN, on_step_down        },
};

static void set_origin(struct core *c, const Stint__V1__Origin *m)
{
    struct origin o = {0};
    if (m != NULL)
        o = (struct origin){m->ip, m->user_agent, m->request_id};
    core_set_origin(c, &o);
}

static void on_request(void *arg, struct bus_call *bus, const envelope *request)
{
    struct serve *s = arg;
    if (s->core == NULL || s->is_closed) {
        bus_reply_not_leader(bus, s->leader_url, false);
        return;
    }
    for (size_t i = 0; i < COUNT(handlers); i++) {
        if (handlers[i].body == request->body_case) {
            set_origin(s->core, request->origin);
            handlers[i].handle(s, bus, request);
            if (s->core != NULL)
                core_set_origin(s->core, &(struct origin){0});
            return;
        }
    }
    malformed(s, bus, "the scheduler does not serve this kind of request");
}

/* ---- answers ---- */

void serve_refuse(struct serve *s, void *ticket, enum refusal code, const char *detail)
{
    (void)s;
    struct call *call = ticket;
    refuse(call, code, detail);
    close_call(call);
}

/* The task was there when the gateway was asked to delete it, and the one who was asked first has
 * done it. */
static bool is_deleted(const struct call *call, enum refusal code)
{
    return call->is_doubtful && call->is_delete && code == REFUSAL_TASK_UNKNOWN;
}

static void reply_of_bulk(struct call *call, const struct reply *r)
{
    struct bulk *b = call->bulk;
    b->replies[call->at].task_id = r->task_id;
    b->replies[call->at].workspace_id = r->workspace_id;
    b->replies[call->at].build_id = r->build_id;
    refuse(call, is_deleted(call, r->code) ? REFUSAL_NONE : r->code, r->detail);
}

static void reply_task(struct call *call, const struct reply *r)
{
    if (call->bulk != NULL) {
        reply_of_bulk(call, r);
        return;
    }
    Stint__V1__TaskReply m = STINT__V1__TASK_REPLY__INIT;
    m.code = is_deleted(call, r->code) ? REFUSAL_NONE : r->code;
    if (r->detail != NULL)
        m.detail = (char *)(uintptr_t)r->detail;
    if (!uuid_is_nil(&r->task_id)) {
        m.task_id = wire_uuid(&r->task_id);
        m.workspace_id = wire_uuid(&r->workspace_id);
        m.build_id = wire_uuid(&r->build_id);
    }
    envelope out = wire_envelope(STINT__V1__ENVELOPE__BODY_TASK_REPLY);
    out.task_reply = &m;
    bus_reply(call->bus, &out);
}

static void reply_opened(struct call *call, const struct reply *r, uint64_t watermark)
{
    Stint__V1__AgentOpened m = STINT__V1__AGENT_OPENED__INIT;
    m.code = r->code;
    m.watermark = watermark;
    envelope out = wire_envelope(STINT__V1__ENVELOPE__BODY_AGENT_OPENED);
    out.agent_opened = &m;
    bus_reply(call->bus, &out);
}

/* The task's state now does not say that the app has not had the message before: whoever asks must
 * not be told that it was refused. */
static bool is_in_doubt(const struct call *call, enum refusal code)
{
    return call->is_doubtful &&
           (code == REFUSAL_TASK_UNKNOWN || code == REFUSAL_TASK_PENDING ||
               code == REFUSAL_TASK_INITIALIZING || code == REFUSAL_TASK_PAUSED ||
               code == REFUSAL_TASK_NOT_ACTIVE || code == REFUSAL_NO_APP);
}

void serve_reply(struct serve *s, const struct reply *r, uint64_t watermark)
{
    (void)s;
    struct call *call = r->ticket;
    METRIC_ADD(refused_full, r->code == REFUSAL_QUEUE_FULL || r->code == REFUSAL_MESSAGES_FULL);
    if (r->kind == REPLY_TASK)
        reply_task(call, r);
    else if (r->kind == REPLY_AGENT_OPENED)
        reply_opened(call, r, watermark);
    else if (is_in_doubt(call, r->code))
        refuse(call, REFUSAL_APP_UNREACHABLE,
            "The schedulers changed over meanwhile, and the app may have had the message: see its "
            "conversation.");
    else
        refuse(call, r->code, r->detail);
    close_call(call);
}

/* ---- dispatches ---- */

void serve_dispatches(
    struct serve *s, const struct effects *e, uint64_t epoch, const struct work_texts *texts)
{
    (void)s;
    for (size_t i = 0; i < e->dispatches.n; i++) {
        struct call *call = e->dispatches.v[i].ticket;
        work_reply(call->bus, &e->dispatches.v[i].work, epoch, texts);
        close_call(call);
    }
}

/* ---- life ---- */

enum err serve_new(struct loop *l, const char *urls, struct serve **ret_serve, struct errctx *ctx)
{
    struct serve *s = mem_alloc(sizeof(*s));
    list_init(&s->calls);
    s->leader_url = mem_strdup("");
    scoped_free char *copy = mem_strdup(urls);
    char *rest = copy, *url;
    while ((url = strsep(&rest, ",")) != NULL && s->n_servers < SERVERS_MAX) {
        enum err code =
            bus_listen(l, url, CALLS_MAX, on_request, s, &s->servers[s->n_servers], ctx);
        if (code != ERR_OK) {
            serve_free(s);
            return code;
        }
        s->n_servers++;
    }
    *ret_serve = s;
    return ERR_OK;
}

void serve_free(struct serve *s)
{
    if (s == NULL)
        return;
    serve_lead(s, NULL, 0, NULL);
    for (size_t i = 0; i < s->n_servers; i++)
        bus_server_free(s->servers[i]);
    free(s->leader_url);
    free(s);
}

const char *serve_url(const struct serve *s)
{
    return bus_server_url(s->servers[0]);
}

void serve_lead(struct serve *s, struct core *core, uint64_t epoch, struct db *db)
{
    s->core = core;
    s->epoch = epoch;
    s->db = db;
    s->is_closed = false;
    if (core != NULL)
        return;
    struct list *it;
    while ((it = s->calls.next) != &s->calls) {
        struct call *call = container_of(it, struct call, link);
        lose(call);
        close_call(call);
    }
}

void serve_set_state_keys(struct serve *s, const struct state_keys *keys)
{
    s->state_keys = keys;
}

void serve_set_leader(struct serve *s, const char *url)
{
    if (strcmp(s->leader_url, url) == 0)
        return;
    free(s->leader_url);
    s->leader_url = mem_strdup(url);
}

const char *serve_leader(const struct serve *s)
{
    return s->leader_url;
}

void serve_ask_leader(struct serve *s, const struct serve_leader *leader)
{
    s->leader = *leader;
}

void serve_close(struct serve *s)
{
    s->is_closed = true;
}
