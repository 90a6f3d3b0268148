/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what is packed can be read; what is not an envelope, or has a string that is no text, is
 * not.
 */
#include "tests/unit/core/unit.h"

#include "core/wire/wire.h"

static uint8_t bytes[4096];

static size_t pack_create(const char *name, const char *prompt)
{
    static struct uuid id = {
        {1, 2, 3}
    };
    Stint__V1__TaskCreate create = STINT__V1__TASK_CREATE__INIT;
    create.task_id = wire_uuid(&id);
    create.name = (char *)(uintptr_t)name;
    create.prompt = (char *)(uintptr_t)prompt;
    create.priority = -7;
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_TASK_CREATE);
    e.request_id = 42;
    e.task_create = &create;
    assert_true(stint__v1__envelope__get_packed_size(&e) <= sizeof(bytes));
    return stint__v1__envelope__pack(&e, bytes);
}

static void goes_both_ways(void **state)
{
    (void)state;
    size_t n = pack_create("fix", "h\xc3\xa4llo");
    Stint__V1__Envelope *e = wire_unpack(bytes, n);
    assert_non_null(e);
    assert_int_equal(e->version, WIRE_VERSION);
    assert_int_equal(e->request_id, 42);
    assert_int_equal(e->body_case, STINT__V1__ENVELOPE__BODY_TASK_CREATE);
    assert_string_equal(e->task_create->prompt, "h\xc3\xa4llo");
    assert_int_equal(e->task_create->priority, -7);
    struct uuid u;
    assert_true(wire_get_uuid(&e->task_create->task_id, &u));
    assert_int_equal(u.b[2], 3);
    assert_true(wire_get_uuid(&e->task_create->owner_id, &u));
    assert_true(uuid_is_nil(&u));
    wire_free(e);
    wire_free(NULL);
}

static void strings_must_be_text(void **state)
{
    (void)state;
    size_t n = pack_create("f\xffx", "p");
    assert_null(wire_unpack(bytes, n));
    n = pack_create("f#x", "p");
    uint8_t *at = memchr(bytes, '#', n);
    assert_non_null(at);
    *at = '\0';
    assert_null(wire_unpack(bytes, n));
    *at = 'i';
    Stint__V1__Envelope *e = wire_unpack(bytes, n);
    assert_non_null(e);
    wire_free(e);
}

static void nested_strings_must_be_text(void **state)
{
    (void)state;
    Stint__V1__LogLine line = STINT__V1__LOG_LINE__INIT, *lines[] = {&line};
    Stint__V1__JobResult result = STINT__V1__JOB_RESULT__INIT, *results[] = {&result};
    Stint__V1__JobResults all = STINT__V1__JOB_RESULTS__INIT;
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_JOB_RESULTS);
    line.output = (char *)"\xc3(";
    result.n_log = all.n_result = 1;
    result.log = lines;
    all.result = results;
    e.job_results = &all;
    size_t n = stint__v1__envelope__pack(&e, bytes);
    assert_null(wire_unpack(bytes, n));
    line.output = (char *)"\xc3\xa4";
    n = stint__v1__envelope__pack(&e, bytes);
    Stint__V1__Envelope *back = wire_unpack(bytes, n);
    assert_non_null(back);
    assert_string_equal(back->job_results->result[0]->log[0]->output, "\xc3\xa4");
    wire_free(back);
}

/* Many small messages need more than the arena's first chunk. */
static void large_ones_fit(void **state)
{
    (void)state;
    enum { N = 20000 };
    struct uuid id = uuid_random();
    Stint__V1__JobRef *refs = calloc(N, sizeof(*refs)), **list = calloc(N, sizeof(void *));
    for (size_t i = 0; i < N; i++) {
        stint__v1__job_ref__init(&refs[i]);
        refs[i].token = i;
        refs[i].job_id = i % 2 ? wire_uuid(&id) : (ProtobufCBinaryData){0};
        list[i] = &refs[i];
    }
    Stint__V1__WorkerPoll poll = STINT__V1__WORKER_POLL__INIT;
    poll.n_running = N;
    poll.running = list;
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_WORKER_POLL);
    e.worker_poll = &poll;
    uint8_t *big = malloc(stint__v1__envelope__get_packed_size(&e));
    size_t n = stint__v1__envelope__pack(&e, big);
    Stint__V1__Envelope *back = wire_unpack(big, n);
    assert_non_null(back);
    assert_int_equal(back->worker_poll->n_running, N);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(back->worker_poll->running[i]->token, i);
    wire_free(back);
    free(big);
    free(refs);
    free(list);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    size_t n = pack_create("fix", "prompt");
    for (size_t cut = 1; cut < n; cut++)
        wire_free(wire_unpack(bytes, cut)); /* may be an envelope, must not hurt */
    assert_null(wire_unpack(bytes, n - 1));
    assert_null(wire_unpack("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11));
    assert_null(wire_unpack("\x0b", 1));
    assert_null(wire_unpack("\xa2\x01\xff\xff\xff\xff\x0f", 7));
    unsigned seed = 3;
    for (int round = 0; round < 20000; round++) {
        seed = seed * 1103515245 + 12345;
        n = pack_create("fix", "prompt");
        bytes[(seed >> 8) % n] = (uint8_t)(seed >> 20);
        wire_free(wire_unpack(bytes, n));
    }
}

static void refusals_have_rows(void **state)
{
    (void)state;
    assert_int_equal(refusal_row(REFUSAL_NOT_LEADER)->http_status, 503);
    assert_string_equal(refusal_row(REFUSAL_CAP_REACHED)->name, "CAP_REACHED");
    assert_string_equal(refusal_row(0)->name, "NONE");
    assert_string_equal(refusal_row(9)->name, "MALFORMED");
    assert_string_equal(refusal_row(4000000000u)->name, "MALFORMED");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_both_ways),
        cmocka_unit_test(strings_must_be_text),
        cmocka_unit_test(nested_strings_must_be_text),
        cmocka_unit_test(large_ones_fit),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(refusals_have_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
