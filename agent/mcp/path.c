/* SPDX-License-Identifier: Apache-2.0 */
/* path.c - percent-encoding. */
#include "agent/mcp/path.h"

#include <string.h>

static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

void path_add(struct strbuf *path, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++)
        if (is_plain(*p))
            strbuf_addch(path, (char)*p);
        else
            strbuf_addf(path, "%%%02X", *p);
}
