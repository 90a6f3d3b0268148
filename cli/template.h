/* SPDX-License-Identifier: Apache-2.0 */
/* template.h - templates as the gateway tells them. */
#ifndef CLI_TEMPLATE_H
#define CLI_TEMPLATE_H

#include <jansson.h>

#include "cli/cli.h"

/* The template called `name`, or with that id.  ERR_NOT_FOUND suggests a near name. */
enum err must_check template_find(struct cli *cli, const char *name, json_t **ret_template);
/* The template called `name` that tasks start from; NULL: the only one there is. */
enum err must_check template_find_for_task(
    struct cli *cli, const char *name, json_t **ret_template);

/* A version of it by name or id, archived ones too. */
enum err must_check template_find_version(
    struct cli *cli, const json_t *template, const char *name, json_t **ret_version);

#endif
