/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place.h - the directory that a job works in: one per workspace (or import), under a lock.
 *
 *   work/<id>/  src/   the template, copied: some write beside their files
 *               home/  tmp/   Terraform's, empty at first
 *               done   resources that are done in the apply under way
 *               mark   which version of the state the scheduler is known to have
 *
 * It is gone when the job is over.  What is found when a job begins was left by a worker that was
 * killed: of that only the state counts, and only if it continues the one that the scheduler has.
 */
#ifndef WORKER_PROVISIONER_TERRAFORM_PLACE_H
#define WORKER_PROVISIONER_TERRAFORM_PLACE_H

#include "worker/provisioner/terraform/run.h"

/* Take r->place for `id`, waiting for whoever has it.  *ret_left is the state that was left there
 * after version *ret_left_after, empty if there is none. */
enum err must_check place_open(struct run *r, const struct uuid *id, struct strbuf *ret_left,
    uint64_t *ret_left_after, struct errctx *ctx);
/* The directory, empty. */
enum err must_check place_make(struct run *r, struct errctx *ctx);
/* Removes it; with `keep` only the lock is let go. */
void place_close(struct run *r, bool keep);

/* src/ from the template's directory ("": empty), with what must be ours in it. */
enum err must_check place_fill(struct run *r, const char *template_dir, struct errctx *ctx);
/* A file of src/. */
enum err must_check place_write(
    struct run *r, const char *name, const void *data, size_t n, struct errctx *ctx);
/* ERR_NOT_FOUND when it is not there. */
enum err must_check place_read(
    const struct run *r, const char *name, struct strbuf *out, struct errctx *ctx);
/* The scheduler has this version. */
enum err must_check place_mark(struct run *r, uint64_t version, struct errctx *ctx);

/* Resources that Terraform has said are done; for whoever goes on from what is left here. */
void place_note_done(const struct run *r, const char *address);
void place_read_done(const struct run *r, struct strbuf *ret_lines);

/* The tree below from_fd into the directory to_fd: files, directories, links as they are; at its
 * top nothing that Terraform leaves behind. */
enum err must_check place_copy_tree(int from_fd, int to_fd, struct errctx *ctx);

#define PLACE_STATE "terraform.tfstate"

#endif
