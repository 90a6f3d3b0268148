/* SPDX-License-Identifier: Apache-2.0 */
/* list.h - intrusive doubly linked list with a sentinel head. */
#ifndef CORE_BASE_LIST_H
#define CORE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev, *next;
};

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->prev = l->next = l;
}

static inline bool list_is_empty(const struct list *l)
{
    return l->next == l;
}

/* True while linked into some list; false after list_init() or list_unlink(). */
static inline bool list_is_linked(const struct list *l)
{
    return l->next != NULL && l->next != l;
}

static inline void list_append(struct list *head, struct list *item)
{
    item->prev = head->prev;
    item->next = head;
    head->prev->next = item;
    head->prev = item;
}

static inline void list_unlink(struct list *item)
{
    if (item->next == NULL)
        return;
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}

/* The first item, taken out; NULL when empty. */
static inline struct list *list_pop(struct list *head)
{
    struct list *item = head->next;
    if (item == head)
        return NULL;
    list_unlink(item);
    return item;
}

#define list_for(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
/* The current item may be unlinked. */
#define list_for_safe(it, head)                                               \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head); \
         it = it##_next, it##_next = it->next)

#endif
