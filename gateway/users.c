/* SPDX-License-Identifier: Apache-2.0 */
/*
 * users.c - people: who they are, who there is, and new ones.  What changes them is in
 * user_changes.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/text.h"
#include "gateway/auth.h"
#include "gateway/json_out.h"
#include "gateway/organization.h"
#include "gateway/search.h"
#include "gateway/user.h"

#define PASSWORD_MIN    8
#define PASSWORD_MAX    256
#define EMAIL_BYTES_MAX 254
#define NAME_BYTES_MAX  128
#define LIST_MAX        1000
#define IN_USE          "This value is already in use and should be unique."
#define BAD_QUERY       "Invalid user search query."

/* Columns of user_get and user_list. */
enum column {
    ID,
    USERNAME,
    EMAIL,
    NAME,
    AVATAR_URL,
    STATUS,
    LOGIN_TYPE,
    ROLES,
    CREATED_AT,
    UPDATED_AT,
    LAST_SEEN_AT,
    GITHUB_ID,
    THEME,
    FONT,
};

/* ---- showing ---- */

static void write_role(struct strbuf *out, const char *name, size_t n)
{
    const char *display = NULL, *known;
    for (size_t i = 0; (known = rights_role_at(i, &display)) != NULL; i++)
        if (strlen(known) == n && memcmp(known, name, n) == 0)
            break;
    json_open(out, '{');
    json_key(out, "name"), json_textn(out, name, n);
    json_key(out, "display_name");
    if (known != NULL)
        json_text(out, display);
    else
        json_textn(out, name, n);
    json_close(out, '}');
}

void user_write_roles(struct strbuf *out, const char *key, const char *names)
{
    json_key(out, key);
    json_open(out, '[');
    for (size_t n; *names != '\0'; names += n + (names[n] == ',')) {
        n = strcspn(names, ",");
        if (n != strlen("member") || memcmp(names, "member", n) != 0)
            write_role(out, names, n);
    }
    json_close(out, ']');
}

void user_write(const struct gateway *gw, const struct db_result *u, size_t row, struct strbuf *out)
{
    struct uuid id = db_uuid(u, row, ID);
    json_open(out, '{');
    json_put_uuid(out, "id", &id);
    json_put_text(out, "username", db_text(u, row, USERNAME));
    json_put_text(out, "avatar_url", db_text(u, row, AVATAR_URL));
    json_put_text(out, "name", db_text(u, row, NAME));
    json_put_text(out, "email", db_text(u, row, EMAIL));
    json_put_time(out, "created_at", db_time_us(u, row, CREATED_AT));
    json_put_time(out, "updated_at", db_time_us(u, row, UPDATED_AT));
    json_put_time(out, "last_seen_at", db_time_us(u, row, LAST_SEEN_AT));
    json_put_text(out, "status", db_text(u, row, STATUS));
    json_put_text(out, "login_type", db_text(u, row, LOGIN_TYPE));
    json_put_text(out, "theme_preference", db_text(u, row, THEME));
    if (!db_is_null(u, row, GITHUB_ID))
        json_put_int(out, "github_com_user_id", db_int(u, row, GITHUB_ID));
    json_key(out, "organization_ids");
    json_open(out, '[');
    json_uuid(out, &gw->organization.id);
    json_close(out, ']');
    user_write_roles(out, "roles", db_text(u, row, ROLES));
    json_close(out, '}');
}

static void on_user_row(struct request *r, const struct db_result *const *results)
{
    if (db_rows(results[0]) == 0) {
        answer_not_found(r);
        return;
    }
    user_write(r->gw, results[0], 0, &r->out);
    answer_json(r, r->method == METHOD_POST ? 201 : 200);
}

static void ask_user(struct request *r, const struct uuid *id, ask_db_fn done)
{
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_USER_GET);
    db_add_uuid(b, id);
    db_add_text(b, "");
    ask_db(r, b, done);
}

void user_answer(struct request *r, const struct uuid *id)
{
    ask_user(r, id, on_user_row);
}

static void on_found(struct request *r, const struct uuid *id, const char *username)
{
    (void)username;
    user_answer(r, id);
}

void user_get(struct request *r)
{
    find_user(r, on_found);
}

/* ---- parts of a user ---- */

static void put_login_type(struct strbuf *out, const struct db_result *u)
{
    json_put_text(out, "login_type", db_text(u, 0, LOGIN_TYPE));
}

static void put_appearance(struct strbuf *out, const struct db_result *u)
{
    json_put_text(out, "theme_preference", db_text(u, 0, THEME));
    json_put_text(out, "terminal_font", db_text(u, 0, FONT));
}

static void answer_part(struct request *r, const struct db_result *u,
    void (*put)(struct strbuf *out, const struct db_result *u))
{
    if (db_rows(u) == 0) {
        answer_not_found(r);
        return;
    }
    json_open(&r->out, '{');
    put(&r->out, u);
    json_close(&r->out, '}');
    answer_json(r, 200);
}

static void on_login_type(struct request *r, const struct db_result *const *results)
{
    answer_part(r, results[0], put_login_type);
}

static void on_appearance(struct request *r, const struct db_result *const *results)
{
    answer_part(r, results[0], put_appearance);
}

static void found_for_login_type(struct request *r, const struct uuid *id, const char *username)
{
    (void)username;
    ask_user(r, id, on_login_type);
}

static void found_for_appearance(struct request *r, const struct uuid *id, const char *username)
{
    (void)username;
    ask_user(r, id, on_appearance);
}

void user_login_type(struct request *r)
{
    find_user(r, found_for_login_type);
}

void user_appearance_get(struct request *r)
{
    find_user(r, found_for_appearance);
}

/* ---- GET /users ---- */

struct user_filter {
    struct search search;
    struct uuid only, after;
    const char *text, *status, *role, *login_type; /* NULL: any */
    bool has_github_id;
    int64_t github_id, limit, offset;
};

static bool read_page_number(struct request *r, const char *key, int64_t max, int64_t *ret)
{
    const char *text = request_query(r, key);
    char *end;
    if (text == NULL || *text == '\0')
        return true;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno == 0 && *end == '\0' && v >= 0) {
        *ret = v < max ? v : max;
        return true;
    }
    answer_invalid(r, 400, "Query parameters have invalid values.", key,
        "must be a whole number that is not negative");
    return false;
}

static bool read_page(struct request *r, struct user_filter *f)
{
    const char *after = request_query(r, "after_id");
    f->limit = LIST_MAX;
    if (!read_page_number(r, "limit", LIST_MAX, &f->limit) ||
        !read_page_number(r, "offset", INT32_MAX, &f->offset))
        return false;
    if (f->limit == 0)
        f->limit = LIST_MAX; /* Coder's clients mean: no limit */
    if (after == NULL || *after == '\0' || uuid_parse(after, &f->after))
        return true;
    answer_invalid(
        r, 400, "Query parameters have invalid values.", "after_id", "must be a valid UUID");
    return false;
}

static bool bad_value(struct request *r, const char *key, const char *value, const char *wanted)
{
    char detail[256];
    snprintf(detail, sizeof(detail), "Query param \"%s\" has invalid value: \"%.64s\" is not %s",
        key, value, wanted);
    answer_invalid(r, 400, BAD_QUERY, key, detail);
    return false;
}

static bool read_github_id(struct request *r, struct user_filter *f, const char *text)
{
    char *end;
    if (text == NULL)
        return true;
    errno = 0;
    f->github_id = strtoll(text, &end, 10);
    f->has_github_id = true;
    return (errno == 0 && *text != '\0' && *end == '\0') ||
           bad_value(r, "github_com_user_id", text, "a number");
}

static bool read_filter(struct request *r, struct user_filter *f)
{
    static const char *const keys[] = {
        "search", "status", "role", "github_com_user_id", "login_type", NULL};
    const char *query = request_query(r, "q");
    struct search_error e;
    if (!search_parse(query != NULL ? query : "", "search", keys, &f->search, &e)) {
        answer_invalid(r, 400, BAD_QUERY, e.field, e.detail);
        return false;
    }
    f->text = search_get(&f->search, "search");
    f->status = search_get(&f->search, "status");
    f->role = search_get(&f->search, "role");
    f->login_type = search_get(&f->search, "login_type");
    if (f->status != NULL && strcmp(f->status, "active") != 0 &&
        strcmp(f->status, "suspended") != 0 && strcmp(f->status, "dormant") != 0)
        return bad_value(r, "status", f->status, "a valid user status");
    return read_github_id(r, f, search_get(&f->search, "github_com_user_id"));
}

static void add_filter(struct db_batch *b, const struct user_filter *f)
{
    db_add_uuid(b, &f->only);
    db_add_text(b, f->text);
    db_add_text(b, f->status);
    db_add_text(b, f->role);
    if (f->has_github_id)
        db_add_int8(b, f->github_id);
    else
        db_add_null(b);
    db_add_text(b, f->login_type);
}

static void on_users(struct request *r, const struct db_result *const *results)
{
    json_open(&r->out, '{');
    json_key(&r->out, "users");
    json_open(&r->out, '[');
    for (size_t i = 0; i < db_rows(results[0]); i++)
        user_write(r->gw, results[0], i, &r->out);
    json_close(&r->out, ']');
    json_put_int(&r->out, "count", db_int(results[1], 0, 0));
    json_close(&r->out, '}');
    answer_json(r, 200);
}

/* Who may not read others finds himself at most. */
static void ask_users(struct request *r, struct user_filter *f, ask_db_fn done)
{
    if (!rights_may(&r->who, OBJECT_USER, ACTION_READ, NULL))
        f->only = r->who.id;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_USER_LIST);
    add_filter(b, f);
    db_add_uuid(b, &f->after);
    db_add_int8(b, f->limit);
    db_add_int8(b, f->offset);
    db_batch_add(b, SQL_USER_COUNT);
    add_filter(b, f);
    ask_db_bulk(r, b, done);
}

void user_list(struct request *r)
{
    struct user_filter *f = request_state(r, sizeof(*f), NULL);
    if (read_filter(r, f) && read_page(r, f))
        ask_users(r, f, on_users);
}

/* ---- GET /organizations/{organization}/members ---- */

/* Coder's OrganizationMemberWithUserData. */
static void write_member(
    const struct gateway *gw, const struct db_result *u, size_t row, struct strbuf *out)
{
    struct uuid id = db_uuid(u, row, ID);
    json_open(out, '{');
    json_put_uuid(out, "user_id", &id);
    json_put_uuid(out, "organization_id", &gw->organization.id);
    json_put_time(out, "created_at", db_time_us(u, row, CREATED_AT));
    json_put_time(out, "updated_at", db_time_us(u, row, UPDATED_AT));
    json_key(out, "roles"), json_open(out, '['), json_close(out, ']');
    json_put_text(out, "username", db_text(u, row, USERNAME));
    json_put_text(out, "name", db_text(u, row, NAME));
    json_put_text(out, "avatar_url", db_text(u, row, AVATAR_URL));
    json_put_text(out, "email", db_text(u, row, EMAIL));
    user_write_roles(out, "global_roles", db_text(u, row, ROLES));
    json_close(out, '}');
}

static void on_members(struct request *r, const struct db_result *const *results)
{
    json_open(&r->out, '[');
    for (size_t i = 0; i < db_rows(results[0]); i++)
        write_member(r->gw, results[0], i, &r->out);
    json_close(&r->out, ']');
    answer_json(r, 200);
}

void organization_members(struct request *r)
{
    struct user_filter *f = request_state(r, sizeof(*f), NULL);
    if (organization_check(r) && read_page(r, f))
        ask_users(r, f, on_members);
}

/* ---- roles ---- */

static void on_roles(struct request *r, const struct db_result *const *results)
{
    const struct db_result *u = results[0];
    if (db_rows(u) == 0) {
        answer_not_found(r);
        return;
    }
    json_open(&r->out, '{');
    json_key(&r->out, "roles");
    json_open(&r->out, '[');
    const char *names = db_text(u, 0, ROLES);
    for (size_t n; *names != '\0'; names += n + (names[n] == ',')) {
        n = strcspn(names, ",");
        json_textn(&r->out, names, n);
    }
    json_close(&r->out, ']');
    json_key(&r->out, "organization_roles"), json_open(&r->out, '{'), json_close(&r->out, '}');
    json_close(&r->out, '}');
    answer_json(r, 200);
}

static void found_for_roles(struct request *r, const struct uuid *id, const char *username)
{
    (void)username;
    ask_user(r, id, on_roles);
}

void user_roles_get(struct request *r)
{
    find_user(r, found_for_roles);
}

/* The roles there are, and whether the asker may give them to somebody. */
void user_roles_known(struct request *r)
{
    const char *name, *display;
    bool may = rights_may(&r->who, OBJECT_USER, ACTION_MANAGE, NULL);
    json_open(&r->out, '[');
    for (size_t i = 0; (name = rights_role_at(i, &display)) != NULL; i++) {
        json_open(&r->out, '{');
        json_put_text(&r->out, "name", name);
        json_put_text(&r->out, "display_name", display);
        json_key(&r->out, "site_permissions"), json_open(&r->out, '['), json_close(&r->out, ']');
        json_key(&r->out, "user_permissions"), json_open(&r->out, '['), json_close(&r->out, ']');
        json_put_bool(&r->out, "assignable", may);
        json_put_bool(&r->out, "built_in", true);
        json_close(&r->out, '}');
    }
    json_close(&r->out, ']');
    answer_json(r, 200);
}

/* ---- making ---- */

struct new_user {
    struct uuid id;
    const char *username, *email, *name, *password, *login_type, *status; /* of r->json */
    char roles[128];
    int64_t github_id; /* 0: none */
    bool is_first;
};

static bool check_email(const char *email)
{
    const char *at = strchr(email, '@');
    return at != NULL && at != email && at[1] != '\0' && strlen(email) <= EMAIL_BYTES_MAX &&
           strpbrk(email, " \t\r\n<>") == NULL;
}

/* Names that a path below /users would take for something else. */
static bool is_reserved(const char *username)
{
    static const char *const words[] = {
        "me", "first", "login", "logout", "roles", "authmethods", "oidc", "oauth2", "github"};
    for (size_t i = 0; i < COUNT(words); i++)
        if (strcasecmp(words[i], username) == 0)
            return true;
    return false;
}

bool user_check_username(struct request *r, const char *username)
{
    if (!text_is_name(username))
        answer_invalid(r, 400, "Validation failed.", "username",
            "must be 1 to 32 letters and digits, in groups joined by single hyphens");
    else if (is_reserved(username))
        answer_invalid(r, 400, "Validation failed.", "username", "this name is reserved");
    return !r->is_over;
}

bool user_check_password(struct request *r, const char *password)
{
    size_t n = strlen(password);
    if (n < PASSWORD_MIN || n > PASSWORD_MAX)
        answer_invalid(r, 400, "Password not strong enough!", "password",
            "must have at least 8 and at most 256 characters");
    return !r->is_over;
}

static bool check_login_type(struct request *r, const struct new_user *u)
{
    if (strcmp(u->login_type, "password") == 0)
        return user_check_password(r, u->password);
    if (strcmp(u->login_type, "none") != 0 && strcmp(u->login_type, "oidc") != 0)
        answer_invalid(
            r, 400, "Validation failed.", "login_type", "must be password, oidc or none");
    else if (u->password[0] != '\0')
        answer_invalid(r, 400, "Password cannot be set for non-password authentication.",
            "password", "must be empty");
    return !r->is_over;
}

static bool check_user(struct request *r, const struct new_user *u)
{
    if (!user_check_username(r, u->username))
        return false;
    if (!check_email(u->email))
        answer_invalid(r, 400, "Validation failed.", "email", "must be an email address");
    else if (strlen(u->name) > NAME_BYTES_MAX)
        answer_invalid(r, 400, "Validation failed.", "name", "must have at most 128 bytes");
    else if (strcmp(u->status, "active") != 0 && strcmp(u->status, "suspended") != 0 &&
             strcmp(u->status, "dormant") != 0)
        answer_invalid(r, 400, "Validation failed.", "user_status", "must be active or suspended");
    return !r->is_over && check_login_type(r, u);
}

static void first_exists(struct request *r)
{
    answer_error(r, 409, "The initial user has already been created.", NULL);
}

static void on_first_made(struct request *r, const struct db_result *const *results)
{
    const struct new_user *u = r->state;
    if (db_rows(results[1]) == 0) {
        first_exists(r);
        return;
    }
    json_open(&r->out, '{');
    json_put_uuid(&r->out, "user_id", &u->id);
    json_put_uuid(&r->out, "organization_id", &r->gw->organization.id);
    json_close(&r->out, '}');
    answer_json(r, 201);
}

static void on_made(struct request *r, const struct db_result *const *results)
{
    (void)results;
    struct uuid id = ((struct new_user *)r->state)->id;
    user_answer(r, &id);
}

void user_answer_taken(struct request *r, enum err code, const char *constraint)
{
    const char *field = strstr(constraint, "email") != NULL    ? "email"
                        : strstr(constraint, "github") != NULL ? "github_com_user_id"
                                                               : "username";
    if (code == ERR_CONFLICT)
        answer_invalid(r, 409, "User already exists.", field, IN_USE);
    else
        answer_db_failed(r, code);
}

static void add_new(struct db_batch *b, const struct new_user *u, const char *hash)
{
    db_batch_add(b, SQL_USER_CREATE);
    db_add_uuid(b, &u->id);
    db_add_text(b, u->username);
    db_add_text(b, u->email);
    db_add_text(b, u->name);
    db_add_text(b, hash);
    db_add_text(b, u->login_type);
    db_add_text(b, strcmp(u->status, "suspended") == 0 ? "suspended" : "active");
    db_add_text(b, u->roles);
    if (u->github_id != 0)
        db_add_int8(b, u->github_id);
    else
        db_add_null(b);
}

static void add_first(struct db_batch *b, const struct new_user *u, const char *hash)
{
    db_batch_add(b, SQL_USER_LOCK_FIRST);
    db_batch_add(b, SQL_USER_CREATE_FIRST);
    db_add_uuid(b, &u->id);
    db_add_text(b, u->username);
    db_add_text(b, u->email);
    db_add_text(b, u->name);
    db_add_text(b, hash);
}

static void on_hashed(struct request *r, bool ok, const char *hash)
{
    const struct new_user *u = r->state;
    if (!ok) {
        answer_error(
            r, 503, "The password cannot be hashed.", "There is not enough memory for it.");
        return;
    }
    struct db_batch *b = db_batch_new();
    (u->is_first ? add_first : add_new)(b, u, hash);
    ask_db_or(r, b, u->is_first ? on_first_made : on_made, user_answer_taken);
}

static void make_user(struct request *r)
{
    const struct new_user *u = r->state;
    if (strcmp(u->login_type, "password") == 0)
        password_hash(r, u->password, on_hashed);
    else
        on_hashed(r, true, NULL);
}

/* Coder's older clients say disable_login. */
static bool read_login_type(struct request *r, struct new_user *u)
{
    if (!request_text(r, "login_type", &u->login_type) ||
        !request_text(r, "user_status", &u->status))
        return false;
    if (u->login_type[0] == '\0' || u->is_first)
        u->login_type =
            json_is_true(json_object_get(r->json, "disable_login")) ? "none" : "password";
    if (u->status[0] == '\0')
        u->status = "active";
    return true;
}

static struct new_user *read_user(struct request *r, bool is_first)
{
    struct new_user *u = request_state(r, sizeof(*u), NULL);
    u->is_first = is_first;
    u->id = uuid_random();
    snprintf(u->roles, sizeof(u->roles), "member");
    if (request_json(r) == NULL || !request_text(r, "username", &u->username) ||
        !request_text(r, "email", &u->email) || !request_text(r, "name", &u->name) ||
        !request_text(r, "password", &u->password) || !read_login_type(r, u) || !check_user(r, u))
        return NULL;
    return u;
}

/* Everybody is in the one organization there is. */
static bool check_organizations(struct request *r)
{
    const json_t *ids;
    if (!request_texts(r, "organization_ids", &ids))
        return false;
    for (size_t i = 0; i < json_array_size(ids) && !r->is_over; i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        if (!organization_is(r->gw, id))
            answer_errorf(
                r, 404, NULL, "Organization does not exist with the provided id \"%.64s\".", id);
    }
    return !r->is_over;
}

/* A word of a list with commas? */
static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *s = words; (s = strstr(s, word)) != NULL; s += n)
        if ((s == words || s[-1] == ',') && (s[n] == ',' || s[n] == '\0'))
            return true;
    return false;
}

bool user_read_roles(struct request *r, char *buf, size_t size)
{
    const json_t *roles;
    char detail[160];
    if (!request_texts(r, "roles", &roles))
        return false;
    for (size_t i = 0; i < json_array_size(roles); i++) {
        const char *name = json_string_value(json_array_get(roles, i));
        size_t used = strlen(buf);
        if (!rights_role_is_known(name) || used + strlen(name) + 2 > size) {
            snprintf(detail, sizeof(detail),
                "\"%.64s\" is no role; there are owner, template-admin, auditor and member", name);
            answer_invalid(r, 400, "One or more of the roles are not known.", "roles", detail);
            return false;
        }
        if (!has_word(buf, name))
            snprintf(buf + used, size - used, ",%s", name);
    }
    return true;
}

void user_create(struct request *r)
{
    struct new_user *u = read_user(r, false);
    if (u != NULL && check_organizations(r) && user_read_roles(r, u->roles, sizeof(u->roles)) &&
        request_int(r, "github_com_user_id", 0, &u->github_id))
        make_user(r);
}

/* ---- the first ---- */

static void on_any(struct request *r, const struct db_result *const *results)
{
    bool any = db_bool(results[0], 0, 0);
    if (r->method == METHOD_GET)
        answer_error(r, any ? 200 : 404,
            any ? "The initial user has already been created!"
                : "The initial user has not been created!",
            NULL);
    else if (any)
        first_exists(r);
    else
        make_user(r);
}

static void ask_any(struct request *r)
{
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_USER_ANY);
    ask_db(r, b, on_any);
}

void user_first_get(struct request *r)
{
    ask_any(r);
}

void user_first_create(struct request *r)
{
    if (read_user(r, true) != NULL)
        ask_any(r);
}
