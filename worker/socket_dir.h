/* SPDX-License-Identifier: Apache-2.0 */
/* socket_dir.h - <data_dir>/agents: one socket per live worker of this host. */
#ifndef WORKER_SOCKET_DIR_H
#define WORKER_SOCKET_DIR_H

#include "core/base/uuid.h"

/* free() both. */
char *socket_dir_path(const char *data_dir);
char *socket_dir_socket(const char *dir, const struct uuid *worker_id);

/* Remove the sockets that nobody listens on any more. */
void socket_dir_sweep(const char *dir);

#endif
