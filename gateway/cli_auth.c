/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli_auth.c - /cli-auth, which `coder login` opens in a browser: a fresh token, to be copied into
 * the terminal.  A page without scripts: a button makes the token (so that no other site's link
 * can), and the token is shown once.
 */
#include <stdio.h>

#include "gateway/key.h"
#include "gateway/oidc.h"

#define HEAD                                                                                     \
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"                          \
    "<meta name=\"viewport\" content=\"width=device-width\"><title>Stint: log in</title><style>" \
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem}"   \
    "code{display:block;padding:1rem;border:1px solid;user-select:all;overflow-wrap:anywhere}"   \
    "button{font:inherit;padding:.5rem 1rem}</style></head><body><main>"
#define TAIL "</main></body></html>\n"

static void show(struct request *r, int status, const char *title, const char *rest)
{
    strbuf_clear(&r->out);
    strbuf_addf(&r->out, HEAD "<h1>%s</h1>%s" TAIL, title, rest);
    answer_page(r, status);
}

static void offer(struct request *r)
{
    show(r, 200, "Log in to the command line",
        "<p>Make a token and paste it into the terminal that asks for it.</p>"
        "<form method=\"post\" action=\"/cli-auth\"><button>Make a token</button></form>");
}

static void send_to_login(struct request *r)
{
    if (r->gw->oidc != NULL)
        answer_redirect(r, OIDC_CALLBACK "?redirect=/cli-auth");
    else
        show(r, 401, "You are not logged in",
            "<p>Log in with <strong>stint login</strong>, or with your password and "
            "<strong>POST /api/v2/users/login</strong>, then come back.</p>");
}

/* Whether the cookie still is somebody's is looked at when the button is pressed. */
void cli_auth_page(struct request *r)
{
    if (r->token_in_cookie)
        offer(r);
    else
        send_to_login(r);
}

static void show_token(struct request *r, const char *token)
{
    char rest[256];
    snprintf(rest, sizeof(rest),
        "<p>Paste it into the terminal. It is shown this once.</p><code>%.64s</code>", token);
    show(r, 201, "Your token", rest);
}

void cli_auth_make(struct request *r)
{
    key_make_for_page(r, show_token);
}
