/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn_mark.h - which prompt and which messages have been taken: on disk before the command runs.
 *
 * This is what keeps rule 7: at most once.  The mark is made first; if the agent, the sandbox or
 * the machine dies at any later instant, the next start finds it and does not run the same thing
 * again.
 *
 * An app that is told by a request (bridge.h) adds a step: what is being handed over is on disk
 * before the request, and what became of it afterwards.  Whoever finds it still there has to find
 * out, or to count it as taken.
 *
 * "turns.json" beside the manifest, replaced as a whole:
 *
 *   {"version": 1,
 *    "prompt_sha256": "<hex>",          the last prompt that was run; absent: none was
 *    "prompt_is_shown": true,           and it is in the task's conversation
 *    "running_build_id": "<uuid>",      a turn has begun and not ended; the build it began in
 *    "taken": ["<send id>", …],         messages that were run, newest last
 *    "handing": {"send_id": "<uuid>",   absent: the prompt
 *                "prompt_sha256": "<hex>",  of the prompt as prompt_sha256 above; absent: a message
 *                "text_sha256": "<hex>",    of what is being handed over
 *                "at": 3}}              messages of the conversation before it
 */
#ifndef AGENT_TURN_MARK_H
#define AGENT_TURN_MARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/uuid.h"

#define TURN_TAKEN_MAX 256

struct turn_handing {
    bool is_prompt;
    struct uuid send_id; /* nil for the prompt */
    char prompt_sha256[65], text_sha256[65];
    uint64_t at;
};

struct turn_mark {
    int dir; /* borrowed */
    bool has_prompt, prompt_is_shown;
    char prompt_sha256[65];
    bool is_running;
    struct uuid running_build_id;
    struct uuid taken[TURN_TAKEN_MAX];
    size_t n_taken;
    bool is_handing;
    struct turn_handing handing;
    /* The file could not be understood: whatever it knew counts as taken. */
    bool was_damaged;
};

/* An absent file is an empty mark; a damaged one sets was_damaged. */
enum err must_check turn_mark_load(struct turn_mark *m, int dir, struct errctx *ctx);

/* This very prompt was run before (or it cannot be known). */
bool turn_mark_has_prompt(const struct turn_mark *m, const char *prompt);
bool turn_mark_has_taken(const struct turn_mark *m, const struct uuid *send_id);

/* A turn begins: durable when ERR_OK; as it was when not. */
enum err must_check turn_mark_prompt(
    struct turn_mark *m, const char *prompt, const struct uuid *build_id, struct errctx *ctx);
enum err must_check turn_mark_message(struct turn_mark *m, const struct uuid *send_id,
    const struct uuid *build_id, struct errctx *ctx);
/* The turn is over. */
enum err must_check turn_mark_end(struct turn_mark *m, struct errctx *ctx);

/* `text` of `n` bytes is about to be handed over, behind `at` messages: a message (send_id), or the
 * prompt, whose mark is that of `prompt`.  Durable when ERR_OK; as it was when not. */
enum err must_check turn_mark_hand_over(struct turn_mark *m, const struct uuid *send_id,
    const char *prompt, const char *text, size_t n, uint64_t at, struct errctx *ctx);
/* The app has it, or it has to count as if. */
enum err must_check turn_mark_handed(struct turn_mark *m, struct errctx *ctx);
/* The app has not got it. */
enum err must_check turn_mark_not_handed(struct turn_mark *m, struct errctx *ctx);
enum err must_check turn_mark_prompt_is_shown(struct turn_mark *m, struct errctx *ctx);
/* This is the text that is being handed over. */
bool turn_mark_is_handing_text(const struct turn_mark *m, const char *text, size_t n);
bool turn_mark_is_handing_message(const struct turn_mark *m, const struct uuid *send_id);

#endif
