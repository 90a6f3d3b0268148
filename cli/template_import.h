/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_import.h - a directory becomes a template version that has been imported.
 *
 * Pack -> POST files -> POST templateversions -> the import job, with its lines as they come.
 * Nobody sees anything of it yet: what comes next is `template push`'s or `template test`'s.
 */
#ifndef CLI_TEMPLATE_IMPORT_H
#define CLI_TEMPLATE_IMPORT_H

#include <jansson.h>

#include "cli/command.h"
#include "cli/progress.h"

struct template_import {
    struct cli *cli;
    const struct call *call;
    const char *provisioner;
    char *name; /* of the template */
    char *organization_id;
    char *file_id;
    char *template_id; /* NULL: there is none yet */
    json_t *version;
    json_t *values; /* of variables */
    struct progress progress;
};

/* The caller fills in ->cli and ->call.  ERR_INVALID with the import's own words when the template
 * is not accepted.  Without `is_for_template` the version belongs to none. */
enum err must_check template_import(
    struct template_import *p, const char *dir, bool is_for_template);
void template_import_done(struct template_import *p);

/* The flags that it reads beside the caller's own. */
#define TEMPLATE_IMPORT_FLAGS                                                           \
    FLAG('m', "message", "TEXT", "What changed, for the list of versions."),            \
        FLAG(0, "version-name", "NAME", "Name of the version; made up when left out."), \
        FLAG(0, "variable", "NAME=VALUE",                                               \
            "A value for a variable of the Terraform template; repeated for more."),    \
        FLAG(0, "variables-file", "FILE", "The same, a NAME=VALUE in each line: for secrets.")

#endif
