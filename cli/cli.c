/* SPDX-License-Identifier: Apache-2.0 */
/* cli.c - the surroundings of a command: streams, complaints, reading from a person. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "cli/profile.h"
#include "core/base/cleanup.h"
#include "core/base/mem.h"

static void sleep_ms(struct cli *cli, int64_t ms)
{
    (void)cli;
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    (void)nanosleep(&t, NULL);
}

void cli_measure(struct cli *cli)
{
    struct winsize w = {0};
    if (!cli->out_is_terminal)
        return;
    bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0;
    cli->width = is_known && w.ws_col > 0 ? w.ws_col : 80;
    cli->height = is_known && w.ws_row > 0 ? w.ws_row : 24;
}

static bool may_colour(bool is_terminal)
{
    const char *no = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    return is_terminal && (no == NULL || no[0] == '\0') &&
           (term == NULL || strcmp(term, "dumb") != 0);
}

void cli_init(struct cli *cli)
{
    *cli = (struct cli){.in = stdin, .out = stdout, .err = stderr, .wait_ms = sleep_ms};
    cli->in_is_terminal = isatty(STDIN_FILENO);
    cli->out_is_terminal = isatty(STDOUT_FILENO);
    cli->err_is_terminal = isatty(STDERR_FILENO);
    cli->colour = may_colour(cli->out_is_terminal);
    cli_measure(cli);
    strbuf_init(&cli->problem);
    strbuf_init(&cli->detail);
    strbuf_init(&cli->hint);
    profile_load(cli);
}

void cli_done(struct cli *cli)
{
    http_free(cli->http);
    free(cli->url);
    free(cli->url_origin);
    if (cli->token != NULL)
        explicit_bzero(cli->token, strlen(cli->token));
    free(cli->token);
    free(cli->config_path);
    strbuf_done(&cli->problem);
    strbuf_done(&cli->detail);
    strbuf_done(&cli->hint);
}

/* ---- complaints ---- */

enum err cli_fail(struct cli *cli, enum err code, const char *fmt, ...)
{
    cli_forgive(cli);
    cli->code = code;
    va_list ap;
    va_start(ap, fmt);
    strbuf_vaddf(&cli->problem, fmt, ap);
    va_end(ap);
    return code;
}

void cli_detail(struct cli *cli, const char *fmt, ...)
{
    if (cli->detail.len > 0)
        strbuf_addch(&cli->detail, '\n');
    va_list ap;
    va_start(ap, fmt);
    strbuf_vaddf(&cli->detail, fmt, ap);
    va_end(ap);
}

void cli_hint(struct cli *cli, const char *fmt, ...)
{
    strbuf_clear(&cli->hint);
    va_list ap;
    va_start(ap, fmt);
    strbuf_vaddf(&cli->hint, fmt, ap);
    va_end(ap);
}

void cli_forgive(struct cli *cli)
{
    cli->code = ERR_OK;
    cli->http_status = 0;
    strbuf_clear(&cli->problem);
    strbuf_clear(&cli->detail);
    strbuf_clear(&cli->hint);
}

static void print_indented(FILE *f, const char *text)
{
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        fprintf(f, "  %.*s\n", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

void cli_complain(struct cli *cli)
{
    bool red = may_colour(cli->err_is_terminal);
    fprintf(
        cli->err, "%sstint: %s%s\n", red ? "\033[31m" : "", cli->problem.s, red ? "\033[0m" : "");
    print_indented(cli->err, cli->detail.s);
    if (cli->hint.len > 0)
        fprintf(cli->err, "  -> %s\n", cli->hint.s);
}

void cli_say(struct cli *cli, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vfprintf(cli->err, fmt, ap);
    va_end(ap);
    fputc('\n', cli->err);
}

/* ---- reading ---- */

enum err cli_confirm(struct cli *cli, const char *question)
{
    if (!cli->in_is_terminal) {
        enum err e = cli_fail(cli, ERR_USAGE, "nobody is at the terminal to confirm this");
        cli_hint(cli, "add -y to go ahead without being asked");
        return e;
    }
    scoped_free char *answer = NULL;
    enum err e = cli_read_line(cli, question, false, &answer);
    if (e != ERR_OK)
        return e;
    if (strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0)
        return ERR_OK;
    return cli_fail(cli, ERR_CANCELED, "nothing was done");
}

static enum err read_stream(
    struct cli *cli, FILE *f, const char *name, size_t max, struct strbuf *text)
{
    char part[16384];
    size_t n;
    while ((n = fread(part, 1, sizeof(part), f)) > 0) {
        if (text->len + n > max)
            return cli_fail(cli, ERR_TOO_LARGE, "%s is larger than %zu KiB", name, max / 1024);
        strbuf_add(text, part, n);
    }
    if (ferror(f))
        return cli_fail(cli, ERR_IO, "cannot read %s: %s", name, strerror(errno));
    return ERR_OK;
}

static enum err read_all(
    struct cli *cli, FILE *f, const char *name, size_t max, char **ret, size_t *ret_len)
{
    struct strbuf text;
    strbuf_init(&text);
    enum err e = read_stream(cli, f, name, max, &text);
    if (e == ERR_OK) {
        *ret_len = text.len;
        *ret = strbuf_detach(&text);
    }
    strbuf_done(&text);
    return e;
}

enum err cli_read_stdin(struct cli *cli, size_t max, char **ret_text, size_t *ret_len)
{
    if (cli->in_is_terminal)
        cli_say(cli, "Reading from the terminal; end with Ctrl-D.");
    return read_all(cli, cli->in, "standard input", max, ret_text, ret_len);
}

enum err cli_read_file(
    struct cli *cli, const char *path, size_t max, char **ret_text, size_t *ret_len)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return cli_fail(cli, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot open %s: %s", path,
            strerror(errno));
    enum err e = read_all(cli, f, path, max, ret_text, ret_len);
    (void)fclose(f);
    return e;
}

/* Returns whether the terminal had to be changed. */
static bool echo_off(struct cli *cli, struct termios *ret_before)
{
    struct termios t;
    if (!cli->in_is_terminal || tcgetattr(fileno(cli->in), &t) != 0)
        return false;
    *ret_before = t;
    t.c_lflag &= ~(tcflag_t)ECHO;
    return tcsetattr(fileno(cli->in), TCSAFLUSH, &t) == 0;
}

enum err cli_read_line(struct cli *cli, const char *prompt, bool secret, char **ret_line)
{
    if (cli->in_is_terminal) {
        fprintf(cli->err, "%s ", prompt);
        fflush(cli->err);
    }
    struct termios before;
    bool hidden = secret && echo_off(cli, &before);
    char *line = NULL;
    size_t room = 0;
    ssize_t n = getline(&line, &room, cli->in);
    if (hidden) {
        (void)tcsetattr(fileno(cli->in), TCSAFLUSH, &before);
        fputc('\n', cli->err);
    }
    if (n < 0) {
        free(line);
        return cli_fail(cli, ERR_USAGE, "standard input ended before an answer was read");
    }
    line[strcspn(line, "\r\n")] = '\0';
    *ret_line = line;
    return ERR_OK;
}
