/* SPDX-License-Identifier: Apache-2.0 */
/*
 * framing.h - where does a request begin and end?  HTTP/1.1's framing, strictly.
 *
 * Every byte that a client sends passes here before libwebsockets sees it.  What two programs could
 * read in two ways (smuggled requests live on that) is a fault, and so is what is too large.  It
 * knows no meaning, only form:
 *
 *     method SP target SP HTTP/1.1 CR LF          target: / and then no blanks, no broken %
 *     name ":" value CR LF                        ≤ 96 of them, no continued lines, no bare CR or
 * LF CR LF body                                        Content-Length bytes, or else … (chunked,
 * upgraded) no longer looked at: nothing else may follow on this connection
 *
 * Pure: bytes in, a fault or none out.
 */
#ifndef GATEWAY_FRAMING_H
#define GATEWAY_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAMING_TARGET_MAX  8192
#define FRAMING_PARTS_MAX   64
#define FRAMING_HEAD_MAX    16384
#define FRAMING_HEADERS_MAX 96

enum framing_fault {
    FRAMING_OK,
#define FAULT(name, status, phrase, message, detail) FRAMING_##name,
#include "gateway/framing.def"
};

struct framing_fault_row {
    int status;
    const char *phrase, *message, *detail;
};
const struct framing_fault_row *framing_fault_row(enum framing_fault f);

enum framing_state {
    FRAMING_BETWEEN, /* zero-initialised: before a request */
    FRAMING_METHOD_PART,
    FRAMING_TARGET_PART,
    FRAMING_VERSION_PART,
    FRAMING_LINE_LF,
    FRAMING_LINE_BEGIN,
    FRAMING_NAME_PART,
    FRAMING_VALUE_BEGIN,
    FRAMING_VALUE_PART,
    FRAMING_HEAD_LF,
    FRAMING_BODY,
    FRAMING_REST, /* chunked: until the connection ends */
    FRAMING_UPGRADE,
};

#define FRAMING_WORD_MAX 40

/* Names that the parser behind us knows, in lower case and with their colons: libwebsockets 4.1
 * waits for ever for the rest of a name that is the begin of one of these and no name itself.  The
 * array is borrowed for good. */
void framing_know_names(const char *const *names, size_t n);

struct framing {
    enum framing_state state;
    uint32_t head_bytes, target_bytes;
    uint16_t n_headers, n_parts;
    uint8_t n_lengths, n_codings, n_hosts, escape; /* escape: digits of a %XX still to come */
    bool is_version_1_0, wants_upgrade, is_bad_length, is_own_prefix;
    uint8_t n_word;
    char word[FRAMING_WORD_MAX]; /* the begin of a method, name or value that matters */
    uint8_t header;              /* which one the value is of */
    int64_t body_left;
};

/* Takes in all of it, or up to the fault; ret_used says how far whole requests and sound parts of
 * one go. */
enum framing_fault framing_feed(
    struct framing *f, const unsigned char *data, size_t n, size_t *ret_used);

/* Is a request under way whose end has not come?  (Not told of FRAMING_REST.) */
bool framing_is_inside(const struct framing *f);

#endif
