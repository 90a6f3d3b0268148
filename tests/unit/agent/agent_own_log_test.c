/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the agent's own log begins anew when it is too long; no other file does.
 */
#include "tests/unit/agent/lab.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "agent/own_log.h"

static int open_log(struct lab *lab, int flags)
{
    int fd = openat(lab->dir, "log", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | flags, 0600);
    assert_true(fd >= 0);
    return fd;
}

static long long size_of(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_size;
}

static void test_it_begins_anew(void **state)
{
    (void)state;
    struct lab lab;
    lab_open(&lab);
    int fd = open_log(&lab, O_APPEND);
    assert_int_equal(ftruncate(fd, OWN_LOG_BYTES_MAX), 0);
    own_log_look(fd);
    assert_int_equal(size_of(fd), OWN_LOG_BYTES_MAX);
    assert_int_equal(write(fd, "x", 1), 1);
    own_log_look(fd);
    assert_int_equal(size_of(fd), 0);
    assert_int_equal(write(fd, "next", 4), 4);
    assert_int_equal(size_of(fd), 4);
    close(fd);
    lab_close(&lab);
}

static void test_others_are_left_alone(void **state)
{
    (void)state;
    struct lab lab;
    lab_open(&lab);
    int fd = open_log(&lab, 0);
    assert_int_equal(ftruncate(fd, OWN_LOG_BYTES_MAX + 1), 0);
    own_log_look(fd);
    assert_int_equal(size_of(fd), OWN_LOG_BYTES_MAX + 1);
    close(fd);
    own_log_look(-1);
    lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_begins_anew),
        cmocka_unit_test(test_others_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
