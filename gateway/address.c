/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address.c - parsing and comparing addresses.
 */
#include "gateway/address.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define V4_PREFIX_BITS 96
#define SEPARATORS     " \t,"

static const unsigned char v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_v4(const struct address *a)
{
    return memcmp(a->b, v4_prefix, sizeof(v4_prefix)) == 0;
}

static bool parse_plain(const char *text, struct address *ret)
{
    memcpy(ret->b, v4_prefix, sizeof(v4_prefix));
    return inet_pton(AF_INET, text, ret->b + sizeof(v4_prefix)) == 1 ||
           inet_pton(AF_INET6, text, ret->b) == 1;
}

bool address_parse(const char *text, size_t n, struct address *ret_address)
{
    char buf[64];
    if (n == 0 || n >= sizeof(buf))
        return false;
    memcpy(buf, text, n);
    buf[n] = '\0';
    char *end = strchr(buf, ']'), *colon = strchr(buf, ':');
    if (buf[0] == '[' && end != NULL) {
        *end = '\0';
        return parse_plain(buf + 1, ret_address);
    }
    if (colon != NULL && strchr(colon + 1, ':') == NULL)
        *colon = '\0'; /* one colon: IPv4 and a port */
    return parse_plain(buf, ret_address);
}

void address_format(const struct address *a, char ret_text[static ADDRESS_TEXT_SIZE])
{
    if (is_v4(a))
        inet_ntop(AF_INET, a->b + sizeof(v4_prefix), ret_text, ADDRESS_TEXT_SIZE);
    else
        inet_ntop(AF_INET6, a->b, ret_text, ADDRESS_TEXT_SIZE);
}

struct address address_of_peer(int fd)
{
    struct address a = {{0}};
    struct sockaddr_storage peer;
    socklen_t n = sizeof(peer);
    if (getpeername(fd, (struct sockaddr *)&peer, &n) != 0)
        return a;
    if (peer.ss_family == AF_INET6) {
        memcpy(a.b, &((struct sockaddr_in6 *)&peer)->sin6_addr, sizeof(a.b));
    } else if (peer.ss_family == AF_INET) {
        memcpy(a.b, v4_prefix, sizeof(v4_prefix));
        memcpy(a.b + sizeof(v4_prefix), &((struct sockaddr_in *)&peer)->sin_addr, 4);
    }
    return a;
}

/* ---- networks ---- */

static bool net_parse(const char *word, size_t n, struct address *ret_base, unsigned *ret_bits)
{
    const char *slash = memchr(word, '/', n);
    size_t n_base = slash != NULL ? (size_t)(slash - word) : n;
    if (!address_parse(word, n_base, ret_base))
        return false;
    unsigned offset = is_v4(ret_base) ? V4_PREFIX_BITS : 0;
    *ret_bits = 128;
    if (slash == NULL)
        return true;
    char *end;
    unsigned long bits = strtoul(slash + 1, &end, 10);
    *ret_bits = offset + (unsigned)bits;
    return end == word + n && end != slash + 1 && bits <= 128 - offset;
}

bool address_nets_parse(const char *text, struct address_nets *ret_nets)
{
    ret_nets->n = 0;
    for (const char *s = text != NULL ? text : "";;) {
        s += strspn(s, SEPARATORS);
        size_t n = strcspn(s, SEPARATORS);
        if (n == 0)
            return true;
        if (ret_nets->n == ADDRESS_NETS_MAX ||
            !net_parse(s, n, &ret_nets->v[ret_nets->n].base, &ret_nets->v[ret_nets->n].bits))
            return false;
        ret_nets->n++;
        s += n;
    }
}

static bool is_within(const struct address *a, const struct address *base, unsigned bits)
{
    size_t whole = bits / 8;
    unsigned rest = bits % 8;
    if (memcmp(a->b, base->b, whole) != 0)
        return false;
    return rest == 0 || (a->b[whole] ^ base->b[whole]) >> (8 - rest) == 0;
}

bool address_nets_have(const struct address_nets *nets, const struct address *a)
{
    for (size_t i = 0; i < nets->n; i++)
        if (is_within(a, &nets->v[i].base, nets->v[i].bits))
            return true;
    return false;
}

/* ---- clients ---- */

struct address address_of_client(
    const struct address_nets *trusted, const struct address *peer, const char *forwarded)
{
    struct address client = *peer, said;
    size_t end = forwarded != NULL ? strlen(forwarded) : 0;
    while (end > 0 && address_nets_have(trusted, &client)) {
        size_t begin = end;
        while (begin > 0 && forwarded[begin - 1] != ',')
            begin--;
        const char *word = forwarded + begin + strspn(forwarded + begin, " \t");
        size_t n = strcspn(word, SEPARATORS);
        if (!address_parse(word, n, &said))
            break;
        client = said;
        end = begin > 0 ? begin - 1 : 0;
    }
    return client;
}

struct uuid address_group(const struct address *a)
{
    struct uuid group = {{0}};
    memcpy(group.b, a->b, is_v4(a) ? 16 : 8);
    return group;
}
