/* SPDX-License-Identifier: Apache-2.0 */
/* json.h - small things about Terraform's JSON documents. */
#ifndef WORKER_PROVISIONER_TERRAFORM_JSON_H
#define WORKER_PROVISIONER_TERRAFORM_JSON_H

#include <jansson.h>
#include <stdbool.h>

/* "" when it is not there, or no text. */
const char *tf_text(const json_t *o, const char *key);
/* malloc'd copy of it. */
char *tf_copy(const json_t *o, const char *key);
bool tf_true(const json_t *o, const char *key);
/* The first element of a block that is there once at most; NULL: none. */
const json_t *tf_block(const json_t *o, const char *key);
/* Copies of these keys from one object into another, where they are there and not null. */
void tf_take(json_t *to, const json_t *from, const char *const *keys);
/* Of an instance in a state, "module.a[0].type.name[\"key\"]".  malloc'd. */
char *tf_instance_address(const json_t *resource, const json_t *instance);
/* An address without its indexes: "module.a[0].x.y["k"]" is "module.a.x.y".  malloc'd. */
char *tf_plain_address(const char *address);

#endif
