/* SPDX-License-Identifier: Apache-2.0 */
/* suggest.h - the word that somebody probably meant. */
#ifndef CLI_SUGGEST_H
#define CLI_SUGGEST_H

#include <stddef.h>

/* Edits (insert, delete, replace, swap of neighbours) from a to b, case ignored. */
size_t suggest_distance(const char *a, const char *b);

struct suggestion {
    const char *typed;
    const char *best; /* NULL: nothing is near enough */
    size_t best_distance;
};

/* Offer a candidate: kept when it is nearer than what was offered before, near enough in itself,
 * or when it begins with what was typed. */
void suggest_offer(struct suggestion *s, const char *candidate);

#endif
