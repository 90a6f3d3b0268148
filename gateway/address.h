/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address.h - who is at the other end: IP addresses, and what proxies say about them.
 *
 * An IPv4 address is kept in its IPv6 form (::ffff:a.b.c.d), so that one comparison does for both.
 */
#ifndef GATEWAY_ADDRESS_H
#define GATEWAY_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/uuid.h"

#define ADDRESS_TEXT_SIZE 46
#define ADDRESS_NETS_MAX  32

struct address {
    unsigned char b[16];
};

/* A list of networks: "10.0.0.0/8, ::1, 192.0.2.7". */
struct address_nets {
    struct {
        struct address base;
        unsigned bits;
    } v[ADDRESS_NETS_MAX];
    size_t n;
};

/* With or without brackets and a port, as proxies write them.  False: none. */
bool address_parse(const char *text, size_t n, struct address *ret_address);
void address_format(const struct address *a, char ret_text[static ADDRESS_TEXT_SIZE]);
/* All zeroes when the socket has no peer. */
struct address address_of_peer(int fd);

/* False: a word of the list is no network, or there are too many.  NULL is the empty list. */
bool address_nets_parse(const char *text, struct address_nets *ret_nets);
bool address_nets_have(const struct address_nets *nets, const struct address *a);

/* Who sent a request that came from `peer` with this X-Forwarded-For (NULL or "": none)?  Each
 * proxy appends whom it heard, so the list is believed from its end, as long as who says it is
 * trusted. */
struct address address_of_client(
    const struct address_nets *trusted, const struct address *peer, const char *forwarded);

/* What limits count by: one IPv4 address, or one IPv6 network of 64 bits, which is what one
 * customer has. */
struct uuid address_group(const struct address *a);

#endif
