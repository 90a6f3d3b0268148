/* SPDX-License-Identifier: Apache-2.0 */
/* self_digest.h - what sha256sum would say of this program. */
#ifndef AGENT_SELF_DIGEST_H
#define AGENT_SELF_DIGEST_H

#include "core/base/err.h"

#define SELF_DIGEST_SIZE 65

enum err must_check self_digest(char ret_hex[static SELF_DIGEST_SIZE], struct errctx *ctx);

#endif
