/* SPDX-License-Identifier: Apache-2.0 */
/* Removing hostile trees, and replacing files in a directory where a stranger has been before. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/file.h"

static char dir[64];
static int dir_fd;
static struct errctx ctx;

static int make(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/stint-file-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return 0;
}

static int clear(void **state)
{
    (void)state;
    close(dir_fd);
    return file_remove_tree(AT_FDCWD, dir, &ctx) == ERR_OK ? 0 : -1;
}

static void touch(int at, const char *name)
{
    int fd = openat(at, name, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static bool exists(const char *name)
{
    return faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void what_is_not_there_is_removed(void **state)
{
    (void)state;
    assert_int_equal(file_remove_tree(dir_fd, "none", &ctx), ERR_OK);
    touch(dir_fd, "file");
    assert_int_equal(file_remove_tree(dir_fd, "file", &ctx), ERR_OK);
    assert_false(exists("file"));
}

static void links_are_not_followed(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(dir_fd, "precious", 0755), 0);
    touch(dir_fd, "precious/thing");
    assert_int_equal(mkdirat(dir_fd, "tree", 0755), 0);
    assert_int_equal(symlinkat("../precious", dir_fd, "tree/link"), 0);
    assert_int_equal(symlinkat("/", dir_fd, "tree/root"), 0);
    assert_int_equal(symlinkat("link", dir_fd, "tree/loop"), 0);
    assert_int_equal(mkfifoat(dir_fd, "tree/pipe", 0600), 0);
    assert_int_equal(file_remove_tree(dir_fd, "tree", &ctx), ERR_OK);
    assert_false(exists("tree"));
    assert_true(exists("precious/thing"));

    /* The tree itself may be a link. */
    assert_int_equal(symlinkat("precious", dir_fd, "tree"), 0);
    assert_int_equal(file_remove_tree(dir_fd, "tree", &ctx), ERR_OK);
    assert_false(exists("tree"));
    assert_true(exists("precious/thing"));
}

static void modes_do_not_stop_it(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(dir_fd, "tree", 0755), 0);
    assert_int_equal(mkdirat(dir_fd, "tree/shut", 0755), 0);
    assert_int_equal(mkdirat(dir_fd, "tree/shut/in", 0755), 0);
    touch(dir_fd, "tree/shut/in/file");
    assert_int_equal(fchmodat(dir_fd, "tree/shut/in", 0, 0), 0);
    assert_int_equal(fchmodat(dir_fd, "tree/shut", 0, 0), 0);
    assert_int_equal(fchmodat(dir_fd, "tree", 0500, 0), 0);
    assert_int_equal(file_remove_tree(dir_fd, "tree", &ctx), ERR_OK);
    assert_false(exists("tree"));
}

/* Deeper than a path can be, and with few descriptors to be had. */
static void depth_does_not_matter(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(dir_fd, "tree", 0755), 0);
    int at = openat(dir_fd, "tree", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(mkdirat(at, "d", 0755), 0);
        touch(at, "f");
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY);
        close(at);
        at = next;
    }
    close(at);
    /* Names that the removal itself might want. */
    touch(dir_fd, "tree/lifted.0");
    assert_int_equal(mkdirat(dir_fd, "tree/lifted.1", 0755), 0);
    touch(dir_fd, "tree/lifted.1/x");

    struct rlimit had, few;
    getrlimit(RLIMIT_NOFILE, &had);
    few = had;
    few.rlim_cur = 32;
    setrlimit(RLIMIT_NOFILE, &few);
    enum err e = file_remove_tree(dir_fd, "tree", &ctx);
    setrlimit(RLIMIT_NOFILE, &had);
    if (e != ERR_OK)
        fail_msg("%s", ctx.text);
    assert_false(exists("tree"));
}

static void many_entries(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(dir_fd, "tree", 0755), 0);
    char name[64];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "tree/%d", i);
        assert_int_equal(mkdirat(dir_fd, name, 0755), 0);
        for (int k = 0; k < 50; k++) {
            snprintf(name, sizeof(name), "tree/%d/%d", i, k);
            touch(dir_fd, name);
        }
    }
    assert_int_equal(file_remove_tree(dir_fd, "tree", &ctx), ERR_OK);
    assert_false(exists("tree"));
}

static void replacing_is_whole_and_follows_nothing(void **state)
{
    (void)state;
    const struct file_write how = {.mode = 0600, .durable = true};
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    touch(dir_fd, "precious");
    assert_int_equal(symlinkat("precious", dir_fd, "name"), 0);
    assert_int_equal(file_write(dir_fd, "name", "new", 3, &how, &ctx), ERR_OK);
    assert_int_equal(file_read(dir_fd, "name", 100, &text, &ctx), ERR_OK);
    assert_string_equal(text.s, "new");
    struct stat st;
    assert_int_equal(fstatat(dir_fd, "precious", &st, 0), 0);
    assert_int_equal(st.st_size, 0);

    /* A directory in the way was put there to annoy. */
    assert_int_equal(mkdirat(dir_fd, "other", 0755), 0);
    touch(dir_fd, "other/x");
    assert_int_equal(file_write(dir_fd, "other", "new", 3, &how, &ctx), ERR_OK);
    strbuf_clear(&text);
    assert_int_equal(file_read(dir_fd, "other", 2, &text, &ctx), ERR_OK);
    assert_string_equal(text.s, "ne");
}

static void reading_takes_files_only(void **state)
{
    (void)state;
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    assert_int_equal(file_read(dir_fd, "none", 10, &text, &ctx), ERR_NOT_FOUND);
    assert_int_equal(mkfifoat(dir_fd, "pipe", 0600), 0);
    assert_int_equal(file_read(dir_fd, "pipe", 10, &text, &ctx), ERR_INVALID);
    assert_int_equal(symlinkat("/etc/passwd", dir_fd, "link"), 0);
    assert_int_equal(file_read(dir_fd, "link", 10, &text, &ctx), ERR_IO);
    assert_string_equal(text.s, "");
}

static void a_full_disk_has_a_code_of_its_own(void **state)
{
    (void)state;
    errno = ENOSPC;
    assert_int_equal(file_errno(&ctx, "cannot write %s", "x"), ERR_NO_SPACE);
    assert_non_null(strstr(ctx.text, "cannot write x: the disk is full"));
    errno = EACCES;
    assert_int_equal(file_errno(&ctx, "cannot write x"), ERR_IO);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_not_there_is_removed),
        TEST(links_are_not_followed),
        TEST(modes_do_not_stop_it),
        TEST(depth_does_not_matter),
        TEST(many_entries),
        TEST(replacing_is_whole_and_follows_nothing),
        TEST(reading_takes_files_only),
        TEST(a_full_disk_has_a_code_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
