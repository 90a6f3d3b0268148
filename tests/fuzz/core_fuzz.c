/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_fuzz.c - the small languages of templates, settings and people: cron lines, patterns and the
 * values they are held against, rules of parameters, settings and the files they are in, times,
 * ids, names made from prompts, lists of addresses.  The first byte chooses.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/conf.h"
#include "core/base/cron.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/parameter.h"
#include "core/base/pattern.h"
#include "core/base/strbuf.h"
#include "core/base/text.h"
#include "core/base/uuid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool is_true)
{
    if (!is_true)
        abort();
}

/* The next time is later, and the one after that, too; there is one within some years or never. */
static void fuzz_cron(const char *text)
{
    struct cron c;
    struct errctx ctx = {0};
    enum err e = cron_parse(text, &c, &ctx);
    check(e == ERR_OK || ctx.text[0] != '\0');
    time_t at = 1800000000;
    for (int i = 0; e == ERR_OK && i < 3 && at >= 0; i++) {
        time_t next = cron_next(&c, at);
        check(next < 0 || (next > at && next % 60 == 0));
        at = next;
    }
}

/* The first line is the pattern, the rest a value. */
static void fuzz_pattern(char *text)
{
    struct errctx ctx = {0};
    char *value = strchr(text, '\n');
    if (value != NULL)
        *value++ = '\0';
    if (pattern_check(text, &ctx) == ERR_OK)
        (void)pattern_matches(text, value != NULL ? value : "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    else
        check(ctx.text[0] != '\0' && !pattern_matches(text, "a"));
}

static void fuzz_parameter(const char *text)
{
    static const char *const types[] = {"string", "number", "bool", "list(string)"};
    struct parameter_why why;
    char variable[PARAMETER_VARIABLE_MAX + 1];
    for (size_t i = 0; i < COUNT(types); i++) {
        const struct parameter_rule rule = {
            .type = types[i], .regex = "", .error = "", .has_min = true, .min = -5};
        const char *no = parameter_refuses(&rule, text, &why);
        check(no == NULL || no[0] != '\0');
    }
    if (parameter_is_name(text)) {
        parameter_variable(text, variable);
        check(strlen(variable) <= PARAMETER_VARIABLE_MAX && strchr(variable, '=') == NULL);
    }
}

/* ---- settings ---- */

struct app {
    char *name, *token;
    int64_t cap, lease_ms, room, queue;
};

#define KEY(...) CONF_KEY_ROW(struct app, __VA_ARGS__)
static const struct conf_key keys[] = {KEY(INT, "cap", cap, "10", 1, 50, RELOADABLE, "c")
        KEY(DURATION, "lease", lease_ms, "5s", 1000, 3600000, NONE, "l") KEY(STRING, "name", name,
            NULL, 0, 0, NONE, "n") KEY(BOOL, "queue", queue, "true", 0, 0, NONE, "q")
            KEY(SIZE, "room", room, "64KiB", 0, 0, NONE, "r")
                KEY(STRING, "token", token, NULL, 0, 0, SECRET, "t")};
static const struct conf_spec spec = {"stint-fuzz", "fuzz", NULL, keys, COUNT(keys)};

static void fuzz_conf_file(const char *text)
{
    char flag[64];
    struct app app = {0};
    struct errctx ctx = {0};
    int n_args;
    enum conf_next next;
    int fd = memfd_create("conf", MFD_CLOEXEC);
    check(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    snprintf(flag, sizeof(flag), "--config=/proc/self/fd/%d", fd);
    char *argv[] = {"stint-fuzz", flag, NULL};
    enum err e = conf_load(&spec, 2, argv, &app, &n_args, &next, &ctx);
    if (e == ERR_OK)
        check(app.cap >= 1 && app.cap <= 50 && app.lease_ms >= 1000 && app.lease_ms <= 3600000);
    else
        check(ctx.text[0] != '\0'); /* with the file's own bytes; the log makes text of them */
    conf_done(&spec, &app);
    close(fd);
}

static void fuzz_values(const char *text)
{
    int64_t v;
    struct uuid id;
    check(conf_parse_duration_ms(text, &v) != ERR_OK || v >= 0);
    check(conf_parse_size(text, &v) != ERR_OK || v >= 0);
    check(conf_parse_bool(text, &v) != ERR_OK || v == 0 || v == 1);
    (void)clock_parse(text, &v);
    if (uuid_parse(text, &id))
        check(strcasecmp(uuid_format(&id).s, text) == 0);
}

/* Whatever is made of a stranger's text is text. */
static void fuzz_text(const char *text, size_t n)
{
    char display[TASK_DISPLAY_NAME_MAX + 1];
    struct strbuf out;
    strbuf_init(&out);
    text_add_output(&out, text, n);
    check(text_is_utf8(out.s, out.len));
    if (text_is_utf8(text, n)) {
        text_display_from_prompt(text, display);
        check(text_is_utf8(display, strlen(display)));
    }
    strbuf_clear(&out);
    text_add_sanitized(&out, text);
    check(text_utf8_prefix(text, n, n / 2) <= n / 2);
    strbuf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    log_set_level(LOG_ERROR);
    if (n == 0)
        return 0;
    scoped_free char *text = mem_strndup((const char *)data + 1, n - 1);
    switch (data[0] % 6) {
    case 0:
        fuzz_cron(text);
        break;
    case 1:
        fuzz_pattern(text);
        break;
    case 2:
        fuzz_parameter(text);
        break;
    case 3:
        fuzz_conf_file(text);
        break;
    case 4:
        fuzz_values(text);
        break;
    default:
        fuzz_text(text, strlen(text));
        break;
    }
    return 0;
}
