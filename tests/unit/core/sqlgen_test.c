/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what sqlgen writes is the SQL it read; what it cannot read stops the build.
 * Method: the program is run as the build runs it, on files in a temporary directory.
 */
#include "tests/unit/core/unit.h"

#include <sys/wait.h>
#include <unistd.h>

#include "core/base/strbuf.h"

static char dir[] = "/tmp/stint-sqlgen-XXXXXX";

static int sh(const char *fmt, ...) printf_like(1, 2);

static int sh(const char *fmt, ...)
{
    struct strbuf b;
    strbuf_init(&b);
    strbuf_addf(&b, "cd %s && exec 2>err && ", dir);
    va_list ap;
    va_start(ap, fmt);
    strbuf_vaddf(&b, fmt, ap);
    va_end(ap);
    int status = system(b.s);
    strbuf_done(&b);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void put_file(const char *name, const char *text)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
}

static const char *file_text(const char *name)
{
    static char text[65536];
    char path[200];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    return text;
}

/* Compiles what was generated together with a main() that prints it. */
static const char *run_generated(const char *table, const char *loop)
{
    struct strbuf b;
    strbuf_init(&b);
    strbuf_addf(&b, "#include <stdio.h>\n#include \"%s.h\"\nint main(void)\n{\n%s\nreturn 0;\n}\n",
        table, loop);
    put_file("main.c", b.s);
    strbuf_done(&b);
    int rv = sh("cc -Wall -Wextra -Werror -o main main.c %s.c && ./main > out", table);
    if (rv != 0)
        print_error("%s", file_text("err"));
    assert_int_equal(rv, 0);
    return file_text("out");
}

#define PRINT_QUERIES                                                             \
    "for (int i = 0; i < SQL_COUNT; i++) printf(\"%s|%s\", sql_queries[i].name, " \
    "sql_queries[i].text);"

static void queries(void **state)
{
    (void)state;
    put_file("a.sql", "-- About a.\n\n-- name: a_get :one\n-- $1 id uuid\nSELECT \"x\\y\" -- why\n"
                      "\n    FROM a;\n-- name: a_put :exec\nINSERT;\n");
    put_file("b.sql", "-- name: b_list :many\nSELECT '\xc3\xa4? ?';\n");
    assert_int_equal(sh("%s query sql_query.h sql_query.c a.sql b.sql", SQLGEN), 0);
    assert_string_equal(run_generated("sql_query", PRINT_QUERIES),
        "a_get|SELECT \"x\\y\" -- why\n    FROM a;\na_put|INSERT;\nb_list|SELECT '\xc3\xa4? ?';\n");
}

static void no_files_give_an_empty_table(void **state)
{
    (void)state;
    assert_int_equal(sh("%s query sql_query.h sql_query.c", SQLGEN), 0);
    assert_string_equal(run_generated("sql_query", PRINT_QUERIES), "");
    assert_int_equal(sh("%s migration sql_migration.h sql_migration.c", SQLGEN), 0);
    assert_string_equal(
        run_generated("sql_migration", "printf(\"%zu\", sql_migration_count);"), "0");
}

static void migrations(void **state)
{
    (void)state;
    struct strbuf big;
    strbuf_init(&big);
    strbuf_addstr(&big, "-- kept\nDO $$ BEGIN \"\\n\"; END $$;\n\n-- ");
    for (int i = 0; i < 10000; i++)
        strbuf_addch(&big, 'x');
    put_file("0002_second.sql", big.s);
    put_file("0001_first.sql", "CREATE;\n");
    put_file("0010_tenth.sql", "");
    assert_int_equal(sh("%s migration sql_migration.h sql_migration.c 0010_tenth.sql "
                        "0002_second.sql 0001_first.sql",
                         SQLGEN),
        0);
    struct strbuf want;
    strbuf_init(&want);
    strbuf_addf(&want, "1 0001_first CREATE;\n|2 0002_second %s|10 0010_tenth |", big.s);
    assert_string_equal(
        run_generated("sql_migration", "for (size_t i = 0; i < sql_migration_count; i++)"
                                       "printf(\"%d %s %s|\", sql_migrations[i].version,"
                                       "sql_migrations[i].name, sql_migrations[i].text);"),
        want.s);
    strbuf_done(&want);
    strbuf_done(&big);
}

static void mistakes_stop_the_build(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"X;\n",                                         "bad.sql:1: a statement without"},
        {"-- name: a_b\nX;\n",                           "bad.sql:1: expected"           },
        {"-- name: A_b :one\nX;\n",                      "bad.sql:1: expected"           },
        {"-- name: a_b :some\nX;\n",                     "some is none of"               },
        {"-- name: a_b :one\nX;\n-- name: a_b :one\nX;", "bad.sql:3: the name a_b"       },
        {"-- name: a_b :one\n-- nothing\n",              "a_b has no statement"          },
    };
    put_file("sql_query.h", "old");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        put_file("bad.sql", rows[i].text);
        assert_int_equal(sh("%s query sql_query.h sql_query.c bad.sql", SQLGEN), 1);
        assert_non_null(strstr(file_text("err"), rows[i].says));
        assert_string_equal(file_text("sql_query.h"), "old");
    }
    put_file("first.sql", "");
    assert_int_equal(sh("%s migration sql_migration.h sql_migration.c first.sql", SQLGEN), 1);
    put_file("0001_other.sql", "");
    assert_int_equal(
        sh("%s migration sql_migration.h sql_migration.c 0001_first.sql 0001_other.sql", SQLGEN),
        1);
    assert_non_null(strstr(file_text("err"), "two migrations have this number"));
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return sh("rm -rf %s", dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries),
        cmocka_unit_test(no_files_give_an_empty_table),
        cmocka_unit_test(migrations),
        cmocka_unit_test(mistakes_stop_the_build),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
