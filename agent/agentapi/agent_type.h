/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_type.h - what is known about the programs that people put behind the API.
 *
 * Where on the screen their input box is, so that it is not taken for something that they said.
 */
#ifndef AGENT_AGENTAPI_AGENT_TYPE_H
#define AGENT_AGENTAPI_AGENT_TYPE_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/agentapi/lines.h"

enum agent_type {
#define TYPE(sym, name, alias, box, header) AGENT_##sym,
#include "agent/agentapi/agent_type.def"
};

const char *agent_type_name(enum agent_type type);

/* By name or other name; false for anything else. */
bool agent_type_parse(const char *text, enum agent_type *ret_type);

/* By the program's file name; AGENT_CUSTOM for one that is not known. */
enum agent_type agent_type_of_program(const char *path);

/* Comma-separated, for people. */
void agent_type_names(struct strbuf *out);

/* The line where the input box begins (what is below belongs to it); lines->n when there is none.
 */
size_t agent_type_box(enum agent_type type, const struct lines *lines);

/* Is there a box to type into? */
bool agent_type_is_ready(enum agent_type type, const struct lines *lines);

/* Lines at the top that change by themselves and say nothing. */
size_t agent_type_header(enum agent_type type);

#endif
