/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - the one door to protobuf-c: the generated types, packing, and refusals.
 *
 * Generated structs borrow: their pointers point into the caller's memory while packing, and into
 * one allocation (freed by wire_free) after unpacking.
 */
#ifndef CORE_WIRE_WIRE_H
#define CORE_WIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/uuid.h"
#include "stint/v1/envelope.pb-c.h"

/* Of envelopes: the newest and the oldest that this build knows.  Additions that old readers may
 * ignore need no new one; see "Failover and upgrades" in docs/RELIABILITY.md. */
#define WIRE_VERSION     1
#define WIRE_VERSION_MIN 1

struct wire_versions {
    unsigned min, max;
};

static const struct wire_versions wire_versions = {WIRE_VERSION_MIN, WIRE_VERSION};

enum refusal {
#define REFUSAL(symbol, number, http, message, detail) REFUSAL_##symbol = number,
#include "core/wire/refusal.def"
};

struct refusal_row {
    enum refusal code;
    const char *name;
    int http_status;
    const char *message;
    const char *detail;
};

/* Never NULL: a number that is not in the table gives the row of MALFORMED. */
const struct refusal_row *refusal_row(uint32_t code);

/* Bytes of a uuid for a request, borrowed from it. */
static inline ProtobufCBinaryData wire_uuid(const struct uuid *u)
{
    return (ProtobufCBinaryData){.len = sizeof(u->b), .data = (uint8_t *)(uintptr_t)u->b};
}

/* nil for an absent one; false for any length but 0 and 16. */
bool wire_get_uuid(const ProtobufCBinaryData *data, struct uuid *ret_uuid);

/* An envelope with version set and `body_case` chosen by the caller. */
static inline Stint__V1__Envelope wire_envelope(Stint__V1__Envelope__BodyCase body_case)
{
    Stint__V1__Envelope e = STINT__V1__ENVELOPE__INIT;
    e.version = WIRE_VERSION;
    e.body_case = body_case;
    return e;
}

/* NULL when the bytes are no envelope.  Strings in it are valid UTF-8 without NUL, else NULL. */
Stint__V1__Envelope *wire_unpack(const void *data, size_t n);
void wire_free(Stint__V1__Envelope *e);
DEFINE_SCOPED(Stint__V1__Envelope, wire_free)

#endif
