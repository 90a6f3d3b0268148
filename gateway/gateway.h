/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway.h - what the gateway's parts share.  Everything belongs to the loop's thread.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/list.h"
#include "core/base/map.h"
#include "core/base/metric.h"
#include "core/base/uuid.h"
#include "core/bus/bus.h"
#include "core/db/db.h"
#include "core/kv/feed.h"
#include "core/loop/loop.h"
#include "gateway/address.h"

/* What Coder's clients are told; they compare the first two numbers with their own. */
#define BUILD_VERSION "v2.34.2+stint." STINT_VERSION

struct gateway_conf {
    char *access_url;
    char *address;
    char *bin_dir;
    int64_t body_rate_min;
    int64_t connections_max;
    int64_t connections_per_address_max;
    char *database_url;
    int64_t header_timeout_ms;
    int64_t keepalive_timeout_ms;
    char *log_format;
    char *log_level;
    int64_t login_failures_max;
    int64_t oidc_allow_signups;
    char *oidc_client_id;
    char *oidc_client_secret;
    char *oidc_email_domain;
    char *oidc_issuer_url;
    char *oidc_scopes;
    char *oidc_username_field;
    int64_t port;
    int64_t rate_limit_api;
    int64_t rate_limit_files;
    int64_t rate_limit_login;
    int64_t rate_limits;
    char *redis_url;
    int64_t request_timeout_ms;
    int64_t requests_max;
    char *scheduler_url;
    int64_t stream_stall_ms;
    char *trusted_proxies;
};

struct gateway_metrics {
#define METRIC(type, name, field, help) struct metric field;
#include "gateway/metric.def"
};

struct organization {
    struct uuid id;
    char name[64];
    char display_name[128];
    char description[256];
    char icon[256];
    bool is_default;
    int64_t created_at, updated_at;
};

struct gateway {
    struct gateway_conf conf;
    struct gateway_metrics metrics;
    struct loop *loop;
    struct http *http;
    /* Short statements; and those that may take long (lists, logs, files), so that they do not
     * stand in the way of the short ones. */
    struct db *db, *db_bulk;
    /* Requests whose questions wait for it (ask.c), first come first. */
    struct list waiting;
    size_t n_waiting;
    struct timer *patience;
    /* Lists that are being read (tasks.c). */
    struct list lists;
    /* Answers that go on (stream.c). */
    struct list streams;
    struct map stream_topics; /* what is watched -> who watches it */
    struct timer *stream_timer;
    struct feed *feed;
    struct changes *changes; /* those of late, for event streams */
    /* What all gateways count together (rate.c, attempt.c). */
    struct kv *counts;
    struct rates *rates;
    struct attempts *attempts;
    struct binaries *binaries;
    struct oidc *oidc; /* NULL: nobody logs in by a provider */
    struct address_nets trusted;
    struct bus_client *bus;
    struct auth *auth;
    struct task_cache *cache;
    struct queue *queue;
    /* The one there is, read when the database was first reached. */
    struct organization organization;
    bool is_ready; /* has been: organization is known */
};

#endif
