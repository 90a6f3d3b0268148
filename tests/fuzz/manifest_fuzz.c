/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest_fuzz.c - the manifest, which an agent may have been sent by a gateway far away.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/manifest.h"
#include "core/base/log.h"
#include "core/base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct manifest *m = NULL;
    struct errctx ctx = {0};
    log_set_level(LOG_ERROR);
    enum err e = manifest_parse((const char *)data, n, &m, &ctx);
    if ((e == ERR_OK) != (m != NULL) || (e != ERR_OK && ctx.text[0] == '\0'))
        abort();
    manifest_free(m);
    return 0;
}
