/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a value is what its command prints, or a word on why there is none; nothing is said twice.
 * Method: real commands on a real loop.
 */
#include "agent/metadata.h"
#include "tests/unit/agent/bench.h"

#define METADATA(rest) "\"command\":[\"x\"],\"metadata\":[{\"key\":\"k\"," rest "}]"
#define SH             "\"command\":[\"sh\",\"-c\","

static void open_metadata(struct bench *b, const char *keys)
{
    bench_open(b);
    bench_manifest(b, keys);
    for (size_t i = 0; i < b->manifest->n_metadata; i++)
        b->manifest->metadata[i].interval_ms = 20; /* shorter than a manifest may have it */
    const struct metadata_conf conf = {.loop = b->loop,
        .children = b->children,
        .log = b->log,
        .status = b->status,
        .manifest = b->manifest,
        .env = b->env.v.v};
    b->mark = metadata_new(&conf);
}

static void close_metadata(struct bench *b)
{
    metadata_free(b->mark);
    bench_close(b);
}

/* Rows of tables, which the formatter lets be. */
#define ROW(...)    \
    {               \
        __VA_ARGS__ \
    }

static const struct {
    const char *keys, *says;
} values[] = {
    ROW(METADATA(SH "\"echo '  1.5 GB '; echo\"]"), "metadata k=\"  1.5 GB\"\n"),
    ROW(METADATA(SH "\"true\"]"), "metadata k=\"\"\n"),
    ROW(METADATA(SH "\"echo no luck >&2; exit 2\"]"),
        "metadata k=\"\" error \"exit status 2: no luck\"\n"),
    ROW(METADATA(SH "\"kill -9 $$\"]"), "metadata k=\"\" error \"SIGKILL\"\n"),
    ROW(METADATA("\"command\":[\"/not/there\"]"),
        "metadata k=\"\" error \"cannot run \"/not/there\": No such file or directory\"\n"),
    ROW(METADATA(SH "\"echo x; sleep 100\"],\"timeout_ms\":100"),
        "metadata k=\"\" error \"no value within 100 ms\"\n"),
};

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(values); i++) {
        struct bench b;
        open_metadata(&b, values[i].keys);
        bench_wait(&b, "metadata");
        assert_waiting(b.reports, values[i].says);
        close_metadata(&b);
    }
}

static void test_only_changes_are_said(void **state)
{
    (void)state;
    struct bench b;
    open_metadata(
        &b, METADATA(SH "\"echo >> $LAB/runs; n=$(wc -l < $LAB/runs); echo $((n / 4))\"]"));
    bench_wait(&b, "k=\"2\"");
    assert_waiting(b.reports, "metadata k=\"0\"\nmetadata k=\"1\"\nmetadata k=\"2\"\n");
    close_metadata(&b);
}

static void test_value_is_bounded(void **state)
{
    (void)state;
    struct bench b;
    open_metadata(
        &b, METADATA(SH "\"head -c 1000000 /dev/zero | tr '\\\\0' x; printf '\\\\377'\"]"));
    bench_wait(&b, "metadata");
    char *text = lab_waiting(b.reports);
    assert_int_equal(strspn(text + strlen("metadata k=\""), "x"), METADATA_VALUE_MAX);
    free(text);
    close_metadata(&b);
}

/* One that hangs for ever holds up no other, and there is never a second one of it. */
static void test_command_that_hangs(void **state)
{
    (void)state;
    struct bench b;
    open_metadata(&b, "\"command\":[\"x\"],\"metadata\":[{\"key\":\"hang\"," SH
                      "\"trap '' TERM; echo >> $LAB/runs; while :; do sleep 0.05; done\"]},"
                      "{\"key\":\"k\"," SH "\"echo >> $LAB/n; wc -l < $LAB/n\"]}]");
    bench_wait(&b, "metadata k=\"5\"");
    assert_int_equal(lab_size(&b.lab, "runs"), 1);
    close_metadata(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_only_changes_are_said),
        cmocka_unit_test(test_value_is_bounded),
        cmocka_unit_test(test_command_that_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
