/* SPDX-License-Identifier: Apache-2.0 */
/* cron.h - it is core/base/cron.h. */
#include "core/base/cron.h"
