/* SPDX-License-Identifier: Apache-2.0 */
/* stint-agent agentapi: any terminal agent behind the API of Coder's agentapi. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/agentapi/openapi.h"
#include "agent/agentapi/serve.h"
#include "agent/command.h"
#include "core/base/cleanup.h"

static int print_help(void)
{
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    flags_help(&text);
    fputs(text.s, stdout);
    return 0;
}

static int print_openapi(void)
{
    scoped_free char *text = openapi_text();
    puts(text);
    return 0;
}

int command_agentapi(int argc, char **argv)
{
    struct errctx ctx = {0};
    scoped(flags_done) struct flags flags = {0};
    enum err e = flags_parse(argc, argv, &flags, &ctx);
    if (e == ERR_OK && flags.wants_help)
        return print_help();
    if (e == ERR_OK && flags.print_openapi == 1)
        return print_openapi();
    if (e == ERR_OK)
        e = agentapi_serve(&flags, &ctx);
    return e == ERR_OK ? 0 : command_fail("agentapi", e, &ctx);
}
