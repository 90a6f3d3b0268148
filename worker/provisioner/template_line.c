/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_line.c - on which line of the file does a key stand?
 *
 * What libcyaml has loaded does not say where it came from, so a complaint reads the file once
 * more, this time with libyaml alone, whose nodes know their lines.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "worker/provisioner/template_part.h"

struct template_path template_path(const char *fmt, ...)
{
    struct template_path p;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p.s, sizeof(p.s), fmt, ap);
    va_end(ap);
    return p;
}

/* The value of a mapping's key; *line becomes the key's. */
static yaml_node_t *value_of(
    yaml_document_t *d, const yaml_node_t *map, const char *key, size_t n, unsigned *line)
{
    if (map->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
         p++) {
        yaml_node_t *k = yaml_document_get_node(d, p->key);
        if (k->type == YAML_SCALAR_NODE && k->data.scalar.length == n &&
            memcmp(k->data.scalar.value, key, n) == 0) {
            *line = (unsigned)k->start_mark.line + 1;
            return yaml_document_get_node(d, p->value);
        }
    }
    return NULL;
}

static yaml_node_t *item_of(
    yaml_document_t *d, const yaml_node_t *list, unsigned long i, unsigned *line)
{
    if (list->type != YAML_SEQUENCE_NODE)
        return NULL;
    yaml_node_item_t *item = list->data.sequence.items.start + i;
    if (item >= list->data.sequence.items.top)
        return NULL;
    yaml_node_t *node = yaml_document_get_node(d, *item);
    *line = (unsigned)node->start_mark.line + 1;
    return node;
}

/* "scripts[2].cron": one component after the other, as far as they go; true: all of them. */
static bool walk(yaml_document_t *d, const char *path, unsigned *line)
{
    yaml_node_t *node = yaml_document_get_root_node(d);
    while (node != NULL && *path != '\0') {
        if (*path == '[') {
            char *end;
            node = item_of(d, node, strtoul(path + 1, &end, 10), line);
            path = end + (*end == ']');
        } else {
            path += *path == '.';
            size_t n = strcspn(path, ".[");
            node = value_of(d, node, path, n, line);
            path += n;
        }
    }
    return node != NULL;
}

static bool find(const struct template_source *s, const char *path, unsigned *line)
{
    yaml_parser_t parser;
    yaml_document_t document;
    bool found = false;
    *line = 0;
    if (!yaml_parser_initialize(&parser))
        return false;
    yaml_parser_set_input_string(&parser, (const unsigned char *)s->text, s->n);
    if (yaml_parser_load(&parser, &document)) {
        found = walk(&document, path, line);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return found;
}

unsigned template_line(const struct template_source *s, const char *path)
{
    unsigned line;
    (void)find(s, path, &line);
    return line;
}

bool template_has(const struct template_source *s, const char *path)
{
    unsigned line;
    return find(s, path, &line);
}

enum err template_wrong(const struct template_source *s, const char *path, const char *fmt, ...)
{
    char sentence[sizeof(s->ctx->text)], place[24] = "";
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(sentence, sizeof(sentence), fmt, ap);
    va_end(ap);
    unsigned line = template_line(s, path);
    if (line > 0)
        snprintf(place, sizeof(place), "line %u: ", line);
    return err_set(s->ctx, ERR_CONFIG, TEMPLATE_FILE ": %s%s: %s", place, path, sentence);
}
