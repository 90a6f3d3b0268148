/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report_file.h - the append-only file behind reports.h.
 *
 *   header   "STINTRP1" | agent id 16 | base 8 | next message id 8 | last log id 4 | crc 4
 *   record   length 4 | crc of the payload 4 | payload: a packed Report without its number
 *   record   …
 *
 * Integers are little-endian, crc is CRC-32 (IEEE).  The i-th record (from 1) is report base + i,
 * so numbers cannot contradict one another.  Records are only appended; the file is made smaller by
 * writing a new one and renaming it.
 */
#ifndef AGENT_REPORT_FILE_H
#define AGENT_REPORT_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/uuid.h"
#include "core/base/vec.h"

struct report_file {
    int dir; /* borrowed */
    int fd;  /* -1: none */
    struct uuid agent_id;
    uint64_t base;
    uint64_t next_message_id; /* beyond every chat message in the file */
    uint32_t last_log_id;     /* of the agent's lines of log */
    VEC(uint64_t) at;         /* where each record begins */
    uint64_t end;
};

/* The agent's file, made if there is none, begun anew if it is of another agent. */
enum err must_check report_file_open(
    struct report_file *f, int dir, const struct uuid *agent_id, struct errctx *ctx);
void report_file_close(struct report_file *f);

/* All of it or nothing. */
enum err must_check report_file_append(struct report_file *f, const void *payload, size_t n);

/* Where record i begins; the end of the file for i = n. */
uint64_t report_file_at(const struct report_file *f, size_t i);

/* A new file on disk without the first `n_drop` records, in which the next is number base + 1. */
enum err must_check report_file_rewrite(
    struct report_file *f, size_t n_drop, uint64_t base, struct errctx *ctx);

/* The same for an empty file, in place: takes no room on the disk.  A crash in the middle of it can
 * bring the last records back under new numbers. */
enum err must_check report_file_reset(struct report_file *f, uint64_t base, struct errctx *ctx);

/* Payload of the record at the head of `data` (`n` bytes); NULL unless it is whole and sound. */
const uint8_t *report_file_record(const uint8_t *data, size_t n, size_t *ret_payload_bytes);
#define REPORT_RECORD_HEAD 8

#endif
