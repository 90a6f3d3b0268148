/* SPDX-License-Identifier: Apache-2.0 */
/* agentapi_lab.h - what these tests include, and buffers out of strings. */
#ifndef TESTS_UNIT_AGENTAPI_AGENTAPI_LAB_H
#define TESTS_UNIT_AGENTAPI_AGENTAPI_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "core/base/strbuf.h"

/* A buffer that borrows a string. */
static inline struct strbuf lab_text(const char *s)
{
    return (struct strbuf){.s = (char *)(uintptr_t)s, .len = strlen(s)};
}

#endif
