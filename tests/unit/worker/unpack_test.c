/* SPDX-License-Identifier: Apache-2.0 */
/* Archives, good and hostile, made with libarchive and unpacked into an empty directory. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/file.h"
#include "worker/unpack.h"

struct entry {
    const char *path;
    char type;           /* f file, x program, d directory, l link, h hard link, p fifo, c device */
    const char *content; /* or where a link leads */
};
#define ENTRIES_MAX 6

enum packing { TAR, TAR_GZIP, TAR_ZSTD, ZIP };

static void add(struct archive *a, const struct entry *from)
{
    struct archive_entry *e = archive_entry_new();
    size_t n = from->type == 'f' || from->type == 'x' ? strlen(from->content) : 0;
    archive_entry_set_pathname(e, from->path);
    archive_entry_set_perm(e, from->type == 'x' || from->type == 'd' ? 04755 : 0600);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_size(e, (la_int64_t)n);
    if (from->type == 'd')
        archive_entry_set_filetype(e, AE_IFDIR);
    if (from->type == 'p')
        archive_entry_set_filetype(e, AE_IFIFO);
    if (from->type == 'c') {
        archive_entry_set_filetype(e, AE_IFCHR);
        archive_entry_set_rdev(e, 0x103);
    }
    if (from->type == 'l') {
        archive_entry_set_filetype(e, AE_IFLNK);
        archive_entry_set_symlink(e, from->content);
    }
    if (from->type == 'h')
        archive_entry_set_hardlink(e, from->content);
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    if (n > 0)
        assert_int_equal(archive_write_data(a, from->content, n), (la_ssize_t)n);
    archive_entry_free(e);
}

static int pack(enum packing packing, const struct entry *entries, size_t n)
{
    int fd = memfd_create("archive", 0);
    struct archive *a = archive_write_new();
    if (packing == ZIP)
        archive_write_set_format_zip(a);
    else
        archive_write_set_format_pax_restricted(a);
    if (packing == TAR_GZIP)
        archive_write_add_filter_gzip(a);
    if (packing == TAR_ZSTD)
        archive_write_add_filter_zstd(a);
    assert_int_equal(archive_write_open_fd(a, fd), ARCHIVE_OK);
    for (size_t i = 0; i < n && entries[i].path != NULL; i++)
        add(a, &entries[i]);
    assert_int_equal(archive_write_free(a), ARCHIVE_OK);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static char dir[64];
static struct errctx ctx;

/* Unpack into a fresh `dir`. */
static enum err unpack_fd(int fd, const struct unpack_limit *limit)
{
    struct errctx ignored;
    if (dir[0] != '\0')
        assert_int_equal(file_remove_tree(AT_FDCWD, dir, &ignored), ERR_OK);
    strcpy(dir, "/tmp/stint-unpack-XXXXXX");
    assert_non_null(mkdtemp(dir));
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
    memset(&ctx, 0, sizeof(ctx));
    enum err e = unpack_archive(fd, dir_fd, limit, &ctx);
    close(dir_fd);
    close(fd);
    return e;
}

static const char *read_text(const char *name)
{
    static char text[256];
    char path[200];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *in = fopen(path, "r");
    size_t n = in == NULL ? 0 : fread(text, 1, sizeof(text) - 1, in);
    if (in != NULL)
        fclose(in);
    text[n] = '\0';
    return text;
}

static mode_t mode_of(const char *name)
{
    char path[200];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return lstat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static void good_ones_come_out(void **state)
{
    (void)state;
    static const struct entry entries[] = {
        {"./",            'd', NULL              },
        {"template.yaml", 'f', "command: [sh]\n" },
        {"bin/tool",      'x', "#!/bin/sh\n"     },
        {"a/b/c/d.txt",   'f', "deep"            },
        {"link",          'l', "a/b/../b/c/d.txt"},
        {"dangling",      'l', "nowhere"         },
    };
    static const enum packing packings[] = {TAR, TAR_GZIP, TAR_ZSTD, ZIP};
    for (size_t i = 0; i < COUNT(packings); i++) {
        int fd = pack(packings[i], entries, COUNT(entries));
        if (unpack_fd(fd, &UNPACK_LIMIT) != ERR_OK)
            fail_msg("packing %zu: %s", i, ctx.text);
        assert_string_equal(read_text("template.yaml"), "command: [sh]\n");
        assert_string_equal(read_text("link"), "deep");
        assert_int_equal(mode_of("bin/tool"), 0755); /* no setuid */
        assert_int_equal(mode_of("template.yaml"), 0644);
        assert_int_equal(mode_of("a/b"), 0755);
    }
}

static void later_entries_and_hard_links(void **state)
{
    (void)state;
    static const struct entry entries[] = {
        {"one", 'f', "first" },
        {"one", 'f', "second"},
        {"two", 'h', "one"   },
    };
    assert_int_equal(unpack_fd(pack(TAR, entries, COUNT(entries)), &UNPACK_LIMIT), ERR_OK);
    assert_string_equal(read_text("one"), "second");
    assert_string_equal(read_text("two"), "second");
}

static atomic_bool is_over;

static void *run_renames(void *arg)
{
    (void)arg;
    char one[220], two[220];
    snprintf(one, sizeof(one), "%s-one", dir);
    snprintf(two, sizeof(two), "%s-two", dir);
    mkdir(one, 0700);
    while (!atomic_load(&is_over)) {
        rename(one, two);
        rename(two, one);
    }
    rmdir(one);
    return NULL;
}

/* The kernel is unsure of ".." while directories are renamed, anywhere. */
static void renames_elsewhere_refuse_no_link(void **state)
{
    (void)state;
    static const struct entry entries[] = {
        {"a/b/c", 'f', "deep"      },
        {"link",  'l', "a/b/../b/c"},
    };
    pthread_t thread;
    pthread_create(&thread, NULL, run_renames, NULL);
    for (int i = 0; i < 500; i++) {
        int fd = pack(TAR, entries, COUNT(entries));
        if (unpack_fd(fd, &UNPACK_LIMIT) != ERR_OK)
            fail_msg("%d: %s", i, ctx.text);
    }
    atomic_store(&is_over, true);
    pthread_join(thread, NULL);
}

static void hostile_ones_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct entry entries[ENTRIES_MAX];
        const char *says;
    } rows[] = {
        {{{"/tmp/evil", 'f', "x"}},                                         "leads out"    },
        {{{"../evil", 'f', "x"}},                                           "leads out"    },
        {{{"a/../../evil", 'f', "x"}},                                      "leads out"    },
        {{{"l", 'l', "/"}},                                                 "leads out"    },
        {{{"l", 'l', "../x"}},                                              "leads out"    },
        {{{"a/b/l", 'l', "../../../x"}},                                    "leads out"    },
 /* two links that lead out together */
        {{{"b/", 'd', NULL}, {"up", 'l', "."}, {"b/l", 'l', "../up/../x"}}, "leads out"    },
        {{{"l", 'l', "/tmp"}, {"l/evil", 'f', "x"}},                        "leads out"    },
 /* through a link, even one that stays inside */
        {{{"a/", 'd', NULL}, {"l", 'l', "a"}, {"l/evil", 'f', "x"}},        "no directory" },
        {{{"f", 'f', "x"}, {"f/evil", 'f', "x"}},                           "no directory" },
        {{{"h", 'h', "/etc/passwd"}},                                       "leads out"    },
        {{{"h", 'h', "../../etc/passwd"}},                                  "leads out"    },
        {{{"h", 'h', "none"}},                                              "does not have"},
        {{{"null", 'c', NULL}},                                             "neither file" },
        {{{"pipe", 'p', NULL}},                                             "neither file" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        enum err e = unpack_fd(pack(TAR, rows[i].entries, ENTRIES_MAX), &UNPACK_LIMIT);
        if (e != ERR_INVALID || strstr(ctx.text, rows[i].says) == NULL)
            fail_msg("row %zu: %s, \"%s\"", i, err_name(e), ctx.text);
        assert_false(err_is_retryable(e));
    }
    assert_int_not_equal(access("/tmp/evil", F_OK), 0);
}

static void limits_hold(void **state)
{
    (void)state;
    static const struct entry entries[] = {
        {"a", 'f', "12345678"},
        {"b", 'f', "12345678"},
        {"c", 'f', "12345678"}
    };
    const struct unpack_limit few = {.entries_max = 2, .bytes_max = 1 << 20};
    const struct unpack_limit small = {.entries_max = 100, .bytes_max = 20};
    assert_int_equal(unpack_fd(pack(TAR, entries, 3), &few), ERR_TOO_LARGE);
    assert_int_equal(unpack_fd(pack(TAR_GZIP, entries, 3), &small), ERR_TOO_LARGE);
}

static void what_is_no_archive_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "hello", "PK\003\004 but not really a zip at all"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        int fd = memfd_create("archive", 0);
        assert_int_equal(write(fd, texts[i], strlen(texts[i])), (ssize_t)strlen(texts[i]));
        lseek(fd, 0, SEEK_SET);
        assert_int_equal(unpack_fd(fd, &UNPACK_LIMIT), ERR_INVALID);
    }

    /* Cut in the middle. */
    char big[8192];
    memset(big, 'x', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    const struct entry entries[] = {
        {"a", 'f', big}
    };
    int fd = pack(TAR, entries, 1);
    assert_int_equal(ftruncate(fd, 3000), 0);
    assert_int_equal(unpack_fd(fd, &UNPACK_LIMIT), ERR_INVALID);
}

static int clear(void **state)
{
    (void)state;
    struct errctx ignored;
    return dir[0] == '\0' || file_remove_tree(AT_FDCWD, dir, &ignored) == ERR_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones_come_out),
        cmocka_unit_test(later_entries_and_hard_links),
        cmocka_unit_test(renames_elsewhere_refuse_no_link),
        cmocka_unit_test(hostile_ones_are_refused),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(what_is_no_archive_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, clear);
}
