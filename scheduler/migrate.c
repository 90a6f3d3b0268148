/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate.c - sql_migrations[0] is the ledger: it takes the lock, and makes the table of what has
 * been done; all others run once, each in a transaction with its line in the ledger.
 *
 * Versions run beside each other while an upgrade rolls, so a migration only adds ("expand").  One
 * that takes away ("contract") comes at least one version after the last daemon that uses what it
 * takes, and says which schema a daemon must know to live with it; older ones refuse to start.
 */
#include "scheduler/migrate.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/strbuf.h"
#include "core/db/db.h"
#include "sql_migration.h"

DEFINE_SCOPED(struct db_session, db_session_close)

static int newest_known(void)
{
    return sql_migration_count > 0 ? sql_migrations[sql_migration_count - 1].version : 0;
}

static enum err read_version(struct db_session *s, int *ret_version, struct errctx *ctx)
{
    char text[32];
    enum err code = db_session_value(s, "TABLE schema_version", text, sizeof(text), ctx);
    if (code == ERR_OK)
        *ret_version = atoi(text);
    return code;
}

/* What the newest migration that took something away needs; 0: none has. */
static enum err read_needs(struct db_session *s, int *ret_needs, struct errctx *ctx)
{
    char text[32];
    enum err code = db_session_value(s, "TABLE schema_needs", text, sizeof(text), ctx);
    if (code == ERR_OK)
        *ret_needs = atoi(text);
    return code;
}

/* A newer schema has more than this version knows, which does no harm; it may have less. */
static enum err check_newer(struct db_session *s, int version, struct errctx *ctx)
{
    int needs = 0;
    if (version <= newest_known())
        return ERR_OK;
    enum err code = read_needs(s, &needs, ctx);
    if (code != ERR_OK)
        return code;
    if (needs > newest_known())
        return err_set(ctx, ERR_SCHEMA,
            "the database has schema %d, which needs daemons that know %d; this stint-scheduler "
            "knows up to %d: use a newer version of it",
            version, needs, newest_known());
    log_info("the database has a newer schema, which this version can work with schema=%d known=%d",
        version, newest_known());
    return ERR_OK;
}

/* "-- contract: daemons need NNNN", in a line of its own. */
static int needs_of(const struct sql_migration *m)
{
    static const char mark[] = "\n-- contract: daemons need ";
    const char *at = strstr(m->text, mark);
    return at != NULL ? atoi(at + sizeof(mark) - 1) : 0;
}

static enum err apply(struct db_session *s, const struct sql_migration *m, struct errctx *ctx)
{
    struct strbuf text;
    strbuf_init(&text);
    strbuf_addf(&text,
        "BEGIN;\n%s\n;DO $done$ BEGIN PERFORM schema_migrated(%d, '%s', %d); END $done$; "
        "COMMIT;",
        m->text, m->version, m->name, needs_of(m));
    enum err code = db_session_exec(s, text.s, ctx);
    strbuf_done(&text);
    if (code == ERR_OK)
        log_info("schema brought forward version=%d name=%s", m->version, m->name);
    return code;
}

enum err migrate(const char *database_url, struct errctx *ctx)
{
    scoped(db_session_closep) struct db_session *s = NULL;
    enum err code = db_session_open(database_url, &s, ctx);
    if (code == ERR_OK)
        code = db_session_exec(s, sql_migrations[0].text, ctx);
    int version = 0;
    if (code == ERR_OK)
        code = read_version(s, &version, ctx);
    if (code == ERR_OK)
        code = check_newer(s, version, ctx);
    for (size_t i = 0; code == ERR_OK && i < sql_migration_count; i++)
        if (sql_migrations[i].version > version)
            code = apply(s, &sql_migrations[i], ctx);
    if (code == ERR_OK)
        log_info("schema is up to date version=%d", newest_known());
    return code;
}

enum err migrate_check(const char *database_url, struct errctx *ctx)
{
    scoped(db_session_closep) struct db_session *s = NULL;
    enum err code = db_session_open(database_url, &s, ctx);
    if (code != ERR_OK)
        return code;
    int version = 0;
    struct errctx missing = {0};
    if (read_version(s, &version, &missing) != ERR_OK)
        version = 0;
    code = check_newer(s, version, ctx);
    if (code == ERR_OK && version < newest_known())
        code = err_set(ctx, ERR_SCHEMA,
            "the database has schema %d, this stint-scheduler needs %d: run `stint-scheduler "
            "migrate` first",
            version, newest_known());
    return code;
}
