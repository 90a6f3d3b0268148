/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a form's file is found whatever the form looks like, and its name leads nowhere else.
 * Method: rows of bodies and of names.
 */
#include "tests/unit/agentapi/agentapi_lab.h"

#include <sys/stat.h>

#include "agent/agentapi/dirs.h"
#include "agent/agentapi/upload.h"

#define FORM "multipart/form-data; boundary=XX"
#define FILE_PART(name, content)                                                       \
    "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" name "\"\r\n" \
    "Content-Type: text/plain\r\n\r\n" content "\r\n"

/* clang-format off */
static const struct {
    const char *type, *body, *name, *content; /* content NULL: refused */
} rows[] = {
    {FORM, FILE_PART("a.txt", "hello") "--XX--\r\n", "a.txt", "hello"},
    {FORM, FILE_PART("a.txt", "") "--XX--\r\n", "a.txt", ""},
    {FORM, FILE_PART("a.txt", "a\r\n--X\r\n--YY\r\nb") "--XX--", "a.txt", "a\r\n--X\r\n--YY\r\nb"},
    {FORM, "preamble\r\n" FILE_PART("a", "x") "--XX--", "a", "x"},
    {"Multipart/Form-Data; charset=utf-8; BOUNDARY=\"XX\"", FILE_PART("a", "x") "--XX--", "a", "x"},
    {FORM,
        "--XX\r\ncontent-disposition: form-data; name=\"other\"\r\n\r\n1\r\n" FILE_PART(
            "a", "x") "--XX--",
        "a", "x"},
    {FORM, "--XX\r\nContent-Disposition: form-data; filename=b; name=file\r\n\r\nx\r\n--XX--", "b",
        "x"},
    {FORM, "--XX\r\n\r\nno header\r\n" FILE_PART("a", "x") "--XX--", "a", "x"},
    {FORM, FILE_PART("a.txt", "cut short"), NULL, NULL},
    {FORM, "--XX\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nno file\r\n--XX--", NULL,
        NULL},
    {FORM, "--XX--\r\n", NULL, NULL},
    {FORM, "", NULL, NULL},
    {FORM, "--XX", NULL, NULL},
    {FORM, "--XX\r\n", NULL, NULL},
    {"multipart/form-data", FILE_PART("a", "x") "--XX--", NULL, NULL},
    {"multipart/form-data; boundary=", FILE_PART("a", "x") "--XX--", NULL, NULL},
    {"application/json", "{}", NULL, NULL},
    {NULL, "{}", NULL, NULL},
};
/* clang-format on */

static void test_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct upload_part part;
        struct errctx ctx = {0};
        enum err e = upload_find(rows[i].type, rows[i].body, strlen(rows[i].body), &part, &ctx);
        if ((e == ERR_OK) != (rows[i].content != NULL))
            fail_msg("row %zu: %s %s", i, err_name(e), ctx.text);
        if (e != ERR_OK)
            continue;
        assert_int_equal(part.n, strlen(rows[i].content));
        assert_memory_equal(part.data, rows[i].content, part.n);
        assert_int_equal(part.name_n, strlen(rows[i].name));
        assert_memory_equal(part.name, rows[i].name, part.name_n);
    }
}

static const struct {
    const char *name, *made;
} names[] = {
    {"a.txt",            "a.txt"   },
    {"../../etc/passwd", "passwd"  },
    {"/etc/passwd",      "passwd"  },
    {"C:\\dir\\x.doc",   "x.doc"   },
    {"..\\..\\x",        "x"       },
    {"",                 "file"    },
    {"dir/",             "file"    },
    {"..",               "..file"  },
    {".",                ".file"   },
    {"a\nb\x1b[31m",     "a_b_[31m"},
    {"\xff\xfe",         "file"    },
    {"画.png",          "画.png" },
};

static void test_names(void **state)
{
    (void)state;
    struct strbuf out;
    strbuf_init(&out);
    for (size_t i = 0; i < COUNT(names); i++) {
        strbuf_clear(&out);
        upload_name(names[i].name, strlen(names[i].name), &out);
        assert_string_equal(out.s, names[i].made);
    }
    char name[1000];
    memset(name, 'x', sizeof(name));
    strbuf_clear(&out);
    upload_name(name, sizeof(name), &out);
    assert_int_equal(out.len, 200);
    strbuf_done(&out);
}

static void test_file_is_written(void **state)
{
    (void)state;
    char dir[] = "/tmp/stint-agentapi-test-XXXXXX", read[16] = "";
    assert_non_null(mkdtemp(dir));
    const struct upload_part part = {.name = "../x", .name_n = 4, .data = "hello", .n = 5};
    struct strbuf path;
    strbuf_init(&path);
    assert_int_equal(upload_save(dir, &part, &path, NULL), ERR_OK);
    assert_int_equal(strncmp(path.s, dir, strlen(dir)), 0);
    assert_string_equal(path.s + strlen(dir), "/2cf24dba5fb0a30e/x");
    FILE *f = fopen(path.s, "r");
    assert_non_null(f);
    assert_int_equal(fread(read, 1, sizeof(read) - 1, f), 5);
    fclose(f);
    assert_string_equal(read, "hello");
    strbuf_done(&path);
    dirs_remove(dir);
    struct stat st;
    assert_int_not_equal(stat(dir, &st), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_file_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
