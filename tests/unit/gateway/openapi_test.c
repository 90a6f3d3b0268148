/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openapi_test.c - the OpenAPI documents and the table of routes say the same: each row of
 * route.def is one operation (operationId is the handler, x-stint-auth the auth column), and there
 * is no other.
 *
 * stint.json has Stint's own routes, coder.json Coder's and those without a prefix.  A path of a
 * document begins with its server's; what is there under both of Coder's prefixes is written once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/base/cleanup.h"
#include "gateway/route.h"

static const struct row {
    const char *method, *prefixes, *pattern, *auth, *handler;
} rows[] = {
#define ROUTE(method, prefixes, pattern, auth, limit, handler) \
    {#method, #prefixes, pattern, #auth, #handler},
#include "gateway/route.def"
};

static bool is_own(const struct row *row)
{
    return strcmp(row->prefixes, "STINT") == 0;
}

static const char *prefix_of(const struct row *row)
{
    if (strcmp(row->prefixes, "ROOT") == 0)
        return "";
    return strcmp(row->prefixes, "STINT") == 0 ? "/api/stint/v1" : "/api/v2";
}

static json_t *load(const char *name)
{
    char path[512];
    json_error_t e;
    snprintf(path, sizeof(path), "%s/%s", OPENAPI_DIRECTORY, name);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return NULL;
    json_t *json = json_loadf(f, JSON_REJECT_DUPLICATES, &e);
    fclose(f);
    if (json == NULL)
        fail_msg("%s:%d: %s", path, e.line, e.text);
    return json;
}

/* "/api/v2" of the first server, "" of "/". */
static const char *server_of(const json_t *doc)
{
    const char *url = json_string_value(
        json_object_get(json_array_get(json_object_get(doc, "servers"), 0), "url"));
    return url != NULL && strcmp(url, "/") != 0 ? url : "";
}

static bool is_named(const json_t *doc, const struct row *row, char *why, size_t size)
{
    char whole[256], method[16];
    const char *server = server_of(doc);
    snprintf(whole, sizeof(whole), "%s%s", prefix_of(row), row->pattern);
    size_t n = strlen(server), k = 0;
    for (; row->method[k] != '\0'; k++)
        method[k] = (char)(row->method[k] | 0x20);
    method[k] = '\0';
    const json_t *path = strncmp(whole, server, n) == 0
                             ? json_object_get(json_object_get(doc, "paths"), whole + n)
                             : NULL;
    const json_t *op = json_object_get(path, method);
    const char *id = json_string_value(json_object_get(op, "operationId"));
    const char *auth = json_string_value(json_object_get(op, "x-stint-auth"));
    snprintf(why, size, "%s %s: operationId %s of %s, x-stint-auth %s of %s", row->method, whole,
        id != NULL ? id : "-", row->handler, auth != NULL ? auth : "-", row->auth);
    return id != NULL && auth != NULL && strcmp(id, row->handler) == 0 &&
           strcmp(auth, row->auth) == 0;
}

static size_t count_operations(const json_t *doc)
{
    static const char *const methods[] = {"get", "post", "put", "patch", "delete"};
    const char *path;
    json_t *item;
    size_t n = 0;
    json_object_foreach(json_object_get(doc, "paths"), path, item)
    {
        for (size_t i = 0; i < COUNT(methods); i++)
            n += json_object_get(item, methods[i]) != NULL;
    }
    return n;
}

static void agrees(const char *name, bool own)
{
    char why[512];
    json_t *doc = load(name);
    size_t n = 0, wrong = 0;
    if (doc == NULL)
        skip(); /* not written yet */
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (is_own(&rows[i]) != own)
            continue;
        n++;
        if (!is_named(doc, &rows[i], why, sizeof(why))) {
            print_error("%s: %s\n", name, why);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
    assert_int_equal(count_operations(doc), n); /* and no other */
    json_decref(doc);
}

static void stint_names_every_route(void **state)
{
    (void)state;
    agrees("stint.json", true);
}

static void coder_names_every_route(void **state)
{
    (void)state;
    agrees("coder.json", false);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(stint_names_every_route),
        cmocka_unit_test(coder_names_every_route),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
