/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs in hand: a JobSpec may come twice, results wait for acknowledgement, polls cross. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <poll.h>

#include "core/base/mem.h"
#include "worker/slots.h"

static const struct provisioner null_one = {.name = "null", .immediate = true};
static const struct provisioner slow_one = {.name = "slow"};

static struct job *job_of(uint8_t name, uint64_t token)
{
    struct job_spec spec = {.token = token, .kind = JOB_START};
    spec.job_id.b[0] = name;
    return job_new(&spec, &null_one);
}

static struct job *take(struct slots *s, uint8_t name, uint64_t token)
{
    struct job *j = job_of(name, token), *older = NULL;
    assert_int_equal(slots_take(s, j, &older), SLOTS_NEW);
    return j;
}

static enum slots_answer offer(
    struct slots *s, uint8_t name, uint64_t token, struct job **ret_older)
{
    struct job *j = job_of(name, token);
    enum slots_answer answer = slots_take(s, j, ret_older);
    if (answer == SLOTS_KNOWN || answer == SLOTS_STALE)
        job_free(j);
    return answer;
}

static void end(struct slots *s, struct job *j)
{
    if (j->state == JOB_WAITING)
        slots_move(s, j, JOB_RUNNING);
    slots_move(s, j, JOB_DONE);
}

static void a_life(void **state)
{
    (void)state;
    struct slots s;
    slots_init(&s, 4);
    assert_int_equal(slots_free(&s), 4);
    struct job *j = take(&s, 1, 1);
    assert_int_equal(slots_free(&s), 3);
    assert_int_equal(slots_named(&s), 1);
    assert_ptr_equal(slots_find(&s, &j->spec.job_id, 1), j);
    assert_null(slots_find(&s, &j->spec.job_id, 2));
    slots_move(&s, j, JOB_RUNNING);
    slots_move(&s, j, JOB_DONE);
    assert_int_equal(slots_free(&s), 4); /* its slot is free, but it is still named */
    assert_int_equal(slots_named(&s), 1);
    slots_ack(&s, j);
    assert_int_equal(slots_named(&s), 0);
    slots_done(&s);
}

static void twice_is_once(void **state)
{
    (void)state;
    struct slots s;
    struct job *older = NULL;
    slots_init(&s, 4);
    struct job *j = take(&s, 1, 1);
    assert_int_equal(offer(&s, 1, 1, &older), SLOTS_KNOWN);
    slots_move(&s, j, JOB_RUNNING);
    assert_int_equal(offer(&s, 1, 1, &older), SLOTS_KNOWN);
    slots_move(&s, j, JOB_DONE);
    assert_int_equal(offer(&s, 1, 1, &older), SLOTS_KNOWN);
    slots_done(&s);
}

/* Poll 2 left before the job of poll 1's answer was known; its answer may bring that job again,
 * even after its result is acknowledged. */
static void remembered_while_a_poll_could_bring_it_again(void **state)
{
    (void)state;
    struct slots s;
    struct job *older = NULL;
    slots_init(&s, 4);
    uint64_t one = slots_poll_sent(&s), two = slots_poll_sent(&s);
    assert_false(slots_can_poll(&s));
    struct job *j = take(&s, 1, 1);
    slots_poll_back(&s, one);
    assert_true(slots_can_poll(&s));
    end(&s, j);
    slots_ack(&s, j);
    assert_int_equal(offer(&s, 1, 1, &older), SLOTS_KNOWN);
    uint64_t three = slots_poll_sent(&s); /* sent after the end: it does not matter */
    slots_poll_back(&s, two);
    assert_int_equal(s.n[JOB_ACKED], 0);
    assert_int_equal(offer(&s, 1, 1, &older), SLOTS_NEW);
    slots_poll_back(&s, three);
    slots_done(&s);
}

static void a_newer_lease_supersedes(void **state)
{
    (void)state;
    struct slots s;
    struct job *older = NULL;
    slots_init(&s, 4);
    struct job *j = take(&s, 1, 5);
    slots_move(&s, j, JOB_RUNNING);
    assert_int_equal(offer(&s, 1, 4, &older), SLOTS_STALE);
    assert_int_equal(offer(&s, 1, 6, &older), SLOTS_SUPERSEDES);
    assert_ptr_equal(older, j);
    slots_move(&s, j, JOB_LEAVING);
    assert_int_equal(slots_named(&s), 1); /* the newer one */
    assert_int_equal(slots_busy(&s), 2);
    slots_forget(&s, j);
    const struct uuid id = {{1}};
    assert_non_null(slots_find(&s, &id, 6));
    slots_done(&s);
}

static void an_abandoned_job_may_come_back(void **state)
{
    (void)state;
    struct slots s;
    struct job *older = NULL;
    slots_init(&s, 2);
    struct job *j = take(&s, 1, 1);
    slots_move(&s, j, JOB_RUNNING);
    slots_move(&s, j, JOB_LEAVING);
    assert_int_equal(slots_named(&s), 0);
    assert_int_equal(slots_free(&s), 1);
    assert_int_equal(offer(&s, 1, 2, &older), SLOTS_NEW);
    slots_forget(&s, j);
    assert_int_equal(slots_busy(&s), 1);
    slots_done(&s);
}

static void results_that_pile_up_take_room(void **state)
{
    (void)state;
    struct slots s;
    slots_init(&s, 2);
    for (uint8_t i = 0; i < 8; i++)
        end(&s, take(&s, i + 1, 1));
    assert_int_equal(slots_free(&s), 2);
    end(&s, take(&s, 20, 1));
    assert_int_equal(slots_free(&s), 1);
    end(&s, take(&s, 21, 1));
    assert_int_equal(slots_free(&s), 0);
    slots_ack(&s, container_of(s.list[JOB_DONE].next, struct job, node));
    assert_int_equal(slots_free(&s), 1);
    slots_done(&s);
}

static void lines_are_numbered_and_forgotten(void **state)
{
    (void)state;
    struct job *j = job_of(1, 1);
    for (uint64_t i = 1; i <= 5; i++)
        assert_int_equal(job_add_line(j, 0, "info", mem_strdup("s"), mem_strdup("o")), i);
    job_commit_lines(j, 3);
    assert_int_equal(j->lines.n, 2);
    assert_int_equal(j->lines.v[0].seq, 4);
    job_commit_lines(j, 2); /* an older word */
    assert_int_equal(j->lines.n, 2);
    assert_int_equal(job_add_line(j, 0, "info", mem_strdup("s"), mem_strdup("o")), 6);
    job_commit_lines(j, 100);
    assert_int_equal(j->lines.n, 0);
    job_free(j);
}

static void calls_only_grow(void **state)
{
    (void)state;
    struct job_spec spec = {.token = 1};
    struct job *j = job_new(&spec, &slow_one);
    struct pollfd pfd = {.fd = j->io.call_fd, .events = POLLIN};
    assert_int_equal(poll(&pfd, 1, 0), 0);
    assert_int_equal(job_io_check(&j->io, NULL), ERR_OK);
    job_call(j, JOB_ABANDON);
    job_call(j, JOB_CANCEL);
    assert_int_equal(poll(&pfd, 1, 0), 1);
    assert_int_equal(job_io_check(&j->io, NULL), ERR_LEASE_LOST);
    assert_string_equal(j->spec.prompt, "");
    job_free(j);
}

static void outcomes_follow_codes(void **state)
{
    (void)state;
    assert_int_equal(job_outcome_of(ERR_OK), OUTCOME_SUCCEEDED);
    assert_int_equal(job_outcome_of(ERR_CANCELED), OUTCOME_CANCELED);
    assert_int_equal(job_outcome_of(ERR_NO_SPACE), OUTCOME_FAILED);
    assert_int_equal(job_outcome_of(ERR_TIMEOUT), OUTCOME_FAILED);
    assert_int_equal(job_outcome_of(ERR_LEASE_LOST), OUTCOME_FAILED);
    assert_int_equal(job_outcome_of(ERR_CONFIG), OUTCOME_FAILED_FOR_GOOD);
    assert_int_equal(job_outcome_of(ERR_INVALID), OUTCOME_FAILED_FOR_GOOD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_life),
        cmocka_unit_test(twice_is_once),
        cmocka_unit_test(remembered_while_a_poll_could_bring_it_again),
        cmocka_unit_test(a_newer_lease_supersedes),
        cmocka_unit_test(an_abandoned_job_may_come_back),
        cmocka_unit_test(results_that_pile_up_take_room),
        cmocka_unit_test(lines_are_numbered_and_forgotten),
        cmocka_unit_test(calls_only_grow),
        cmocka_unit_test(outcomes_follow_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
