/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.c - reading envelopes that anybody may have written.
 *
 * The bytes are looked at once before protobuf-c sees them: a generic walk along the descriptors
 * finds every string and rejects what is not UTF-8 without NUL (protobuf-c checks neither, and
 * would cut a string at its NUL without a word).
 *
 * Unpacking makes many small objects that die together.  They come from one arena, which the root
 * message heads:
 *
 *   | arena | Envelope | strings, sub-messages, arrays ... |   -> more chunks if that was too small
 */
#include "core/wire/wire.h"

#include <assert.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/text.h"

/* ---- refusals ---- */

static const struct refusal_row refusal_rows[] = {
#define REFUSAL(symbol, number, http, text, more) \
    [number] = {REFUSAL_##symbol, #symbol, http, text, more},
#include "core/wire/refusal.def"
};

const struct refusal_row *refusal_row(uint32_t code)
{
    bool known = code < COUNT(refusal_rows) && refusal_rows[code].name != NULL;
    return &refusal_rows[known ? code : REFUSAL_MALFORMED];
}

bool wire_get_uuid(const ProtobufCBinaryData *data, struct uuid *ret_uuid)
{
    if (data->len == 0) {
        *ret_uuid = (struct uuid){0};
        return true;
    }
    return uuid_from_bytes(data->data, data->len, ret_uuid);
}

/* ---- the walk ---- */

struct span {
    const uint8_t *p, *end;
};

static bool get_varint(struct span *in, uint64_t *ret_value)
{
    uint64_t v = 0;
    for (unsigned shift = 0; in->p < in->end && shift < 64; shift += 7) {
        uint8_t byte = *in->p++;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_value = v;
            return true;
        }
    }
    return false;
}

static bool skip(struct span *in, uint64_t n)
{
    if (n > (uint64_t)(in->end - in->p))
        return false;
    in->p += n;
    return true;
}

static bool strings_are_text(struct span in, const ProtobufCMessageDescriptor *type);

/* A length-delimited field: text, a message, or bytes that may be anything. */
static bool check_delimited(struct span *in, const ProtobufCFieldDescriptor *field)
{
    uint64_t n;
    const uint8_t *begin;
    if (!get_varint(in, &n) || (begin = in->p, !skip(in, n)))
        return false;
    if (field == NULL)
        return true;
    if (field->type == PROTOBUF_C_TYPE_STRING)
        return text_is_utf8((const char *)begin, n);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return strings_are_text((struct span){begin, in->p}, field->descriptor);
    return true;
}

/* Nesting goes no deeper than the schema, which has no recursive message. */
static bool strings_are_text(struct span in, const ProtobufCMessageDescriptor *type)
{
    while (in.p < in.end) {
        uint64_t tag, ignored;
        if (!get_varint(&in, &tag))
            return false;
        bool ok = false;
        switch (tag & 7) {
        case PROTOBUF_C_WIRE_TYPE_VARINT:
            ok = get_varint(&in, &ignored);
            break;
        case PROTOBUF_C_WIRE_TYPE_64BIT:
            ok = skip(&in, 8);
            break;
        case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
            ok = check_delimited(
                &in, protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3)));
            break;
        case PROTOBUF_C_WIRE_TYPE_32BIT:
            ok = skip(&in, 4);
            break;
        default:
            break;
        }
        if (!ok)
            return false;
    }
    return true;
}

/* ---- the arena ---- */

#define ALIGN 16

struct arena {
    struct arena *more; /* chunks that came later */
    size_t used, room;
    _Alignas(ALIGN) uint8_t space[];
};

static struct arena *arena_new(size_t room)
{
    struct arena *a = mem_realloc(NULL, sizeof(*a) + room);
    *a = (struct arena){.room = room};
    return a;
}

static void *arena_take(void *arg, size_t n)
{
    struct arena *first = arg;
    struct arena *a = first->more != NULL ? first->more : first;
    n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (n > a->room - a->used) {
        struct arena *next = arena_new(n > 2 * a->room ? n : 2 * a->room);
        next->more = first->more;
        first->more = next;
        a = next;
    }
    void *p = a->space + a->used;
    a->used += n;
    return p;
}

static void arena_give_back(void *arg, void *p)
{
    (void)arg;
    (void)p; /* with the rest */
}

static void arena_free(struct arena *a)
{
    while (a != NULL) {
        struct arena *more = a->more;
        free(a);
        a = more;
    }
}

Stint__V1__Envelope *wire_unpack(const void *data, size_t n)
{
    if (!strings_are_text(
            (struct span){data, (const uint8_t *)data + n}, &stint__v1__envelope__descriptor))
        return NULL;
    struct arena *a = arena_new(1024 + 2 * n);
    ProtobufCAllocator from_arena = {arena_take, arena_give_back, a};
    Stint__V1__Envelope *e = stint__v1__envelope__unpack(&from_arena, n, data);
    if (e == NULL) {
        arena_free(a);
        return NULL;
    }
    assert((void *)e == a->space); /* protobuf-c makes the root first */
    return e;
}

void wire_free(Stint__V1__Envelope *e)
{
    if (e != NULL)
        arena_free((struct arena *)(void *)((uint8_t *)e - offsetof(struct arena, space)));
}
