/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openapi.c - GET /api/stint/v1/openapi.json: the document itself, in the program.
 */
#include "core/base/strbuf.h"
#include "gateway/etag.h"

/* The assembler reads the file; no generated source of its size. */
__asm__(".section .rodata\n"
        ".global openapi_stint\n"
        ".global openapi_stint_end\n"
        "openapi_stint:\n"
        ".incbin \"" OPENAPI_STINT "\"\n"
        "openapi_stint_end:\n"
        ".byte 0\n"
        ".previous\n");

extern const char openapi_stint[], openapi_stint_end[];

void openapi_get(struct request *r)
{
    size_t n = (size_t)(openapi_stint_end - openapi_stint) - 1; /* etag_answer() ends the line */
    strbuf_add(&r->out, openapi_stint, n);
    etag_answer(r, 200, etag_of(openapi_stint, n));
}
