/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_fuzz.c - what comes in over the bus and through Redis: envelopes, and entries of the
 * streams. The first byte chooses.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/wire/wire.h"
#include "scheduler/ingest_batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What is accepted can be said again. */
static void fuzz_envelope(const uint8_t *data, size_t n)
{
    Stint__V1__Envelope *e = wire_unpack(data, n);
    if (e == NULL)
        return;
    size_t size = stint__v1__envelope__get_packed_size(e);
    uint8_t *again = malloc(size + 1);
    if (stint__v1__envelope__pack(e, again) != size)
        abort();
    wire_free(e);
    free(again);
}

static void fuzz_entries(const uint8_t *data, size_t n)
{
    struct ingest_batch b = {0};
    size_t half = n / 2;
    ingest_batch_add_reports(&b, "1-1", data, half);
    ingest_batch_add_logs(&b, "1-2", data + half, n - half);
    struct map agents = {0};
    struct db_array *unknown = ingest_batch_unknown(&b, &agents);
    if (unknown != NULL)
        db_array_free(unknown);
    ingest_batch_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    log_set_level(LOG_ERROR);
    if (n == 0)
        return 0;
    if (data[0] % 2 == 0)
        fuzz_envelope(data + 1, n - 1);
    else
        fuzz_entries(data + 1, n - 1);
    return 0;
}
