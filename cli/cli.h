/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli.h - what every command of `stint` gets: where to write, whom to ask, and how to complain.
 *
 * Data goes to `out`, everything said to a person goes to `err`.  A command that fails calls
 * cli_fail() once, and cli_hint() with the next step where one is known; main prints both.
 * Nothing here is global, so that tests run whole commands in one process.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/http.h"
#include "core/base/err.h"
#include "core/base/strbuf.h"

#define CLI_URL_INITIAL "http://127.0.0.1:7080"

struct cli {
    FILE *in, *out, *err;
    bool in_is_terminal, out_is_terminal, err_is_terminal;
    bool colour;     /* may `out` carry colour? */
    int width;       /* columns of the terminal, 0: not a terminal, never cut */
    int height;      /* its lines, 0 likewise */
    int exit_status; /* of a command that succeeded but has more to say, see task watch */

    struct http *http;
    char *url;         /* without a slash at the end; NULL: nobody said */
    char *url_origin;  /* "--url", "STINT_URL", "/home/…/config.json" */
    char *token;       /* NULL: not logged in */
    char *config_path; /* the file that `stint login` writes */
    void (*wait_ms)(struct cli *cli, int64_t ms);

    enum err code;
    bool has_answered; /* the gateway, to anything that this command has asked */
    long http_status;  /* of the last answer that was a refusal, else 0 */
    struct strbuf problem, detail, hint;
};

/* Streams, environment and the stored profile.  Nothing fails here: what is missing is said when a
 * command needs it. */
void cli_init(struct cli *cli);
void cli_done(struct cli *cli);
/* How large is the terminal by now? */
void cli_measure(struct cli *cli);

/* Record what went wrong (replacing an earlier record); returns `code`. */
enum err cli_fail(struct cli *cli, enum err code, const char *fmt, ...) printf_like(3, 4);
/* More about it, on lines of its own. */
void cli_detail(struct cli *cli, const char *fmt, ...) printf_like(2, 3);
/* What to do next. */
void cli_hint(struct cli *cli, const char *fmt, ...) printf_like(2, 3);
/* Forget a failure that was dealt with. */
void cli_forgive(struct cli *cli);
/* Print what was recorded on `err`. */
void cli_complain(struct cli *cli);

/* One line for a person, on `err`. */
void cli_say(struct cli *cli, const char *fmt, ...) printf_like(2, 3);

/* "yes" typed at the terminal?  ERR_CANCELED for no, ERR_USAGE when nobody is there to ask. */
enum err must_check cli_confirm(struct cli *cli, const char *question);
/* All of stdin, at most `max` bytes. */
enum err must_check cli_read_stdin(struct cli *cli, size_t max, char **ret_text, size_t *ret_len);
enum err must_check cli_read_file(
    struct cli *cli, const char *path, size_t max, char **ret_text, size_t *ret_len);
/* One line of stdin without its end; typed blind when `secret` and at a terminal. */
enum err must_check cli_read_line(
    struct cli *cli, const char *prompt, bool secret, char **ret_line);

#endif
