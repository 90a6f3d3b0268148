# SPDX-License-Identifier: Apache-2.0
"""mutate.py VARIANT ROOT OUT - known bad variants: copies of the shipped source with something
broken on purpose, for stint-sim alone.

A place that is not found exactly once is an error: whoever changed it decides what breaks it now.
"""
import pathlib
import sys

MUTATIONS = {
    # Results count whatever lease they come from; the rows' fence is off in the model (pg_store.c).
    "no-fencing": ("scheduler/core/job.c", [(
        "j == NULL || j->worker == NULL || j->token != r->job.token ||\n"
        "        !uuid_eq(&j->worker->id, worker_id)",
        "(void)worker_id, j == NULL || j->worker == NULL")]),
    # The batch is sent, and answered at once.
    "early-reply": ("scheduler/store.c", [(
        "    s->in_flight = true;\n    s->sent_us",
        "    release(s, &s->batch, &(struct readings){0});\n"
        "    vec_clear(&s->batch.replies);\n    vec_clear(&s->batch.dispatches);\n"
        "    s->in_flight = true;\n    s->sent_us")]),
    # A start that is under way takes no room.
    "late-cap": ("scheduler/core/job.c", [
        ("        job_set_holds(c, j, true);\n", ""),
        ("    else if (j->kind != JOB_START)\n        job_set_holds(c, j, false);",
         "    else\n        job_set_holds(c, j, j->kind == JOB_START);")]),
    # Agents and workers hear of a commit that is yet to come.
    "early-watermark": ("scheduler/ingest.c", [(
        "    db_send(in->db, b, on_commit, new_step(in));",
        "    tell_others(in, NULL);\n    db_send(in->db, b, on_commit, new_step(in));")]),
}


def main():
    variant, root, out = sys.argv[1:]
    path, changes = MUTATIONS[variant]
    text = (pathlib.Path(root) / path).read_text()
    for was, becomes in changes:
        if text.count(was) != 1:
            sys.exit(f"{path}: the place that variant {variant} breaks is there "
                     f"{text.count(was)} times: adapt tests/sim/mutate.py\n{was}")
        text = text.replace(was, becomes)
    pathlib.Path(out).write_text(text)


if __name__ == "__main__":
    main()
