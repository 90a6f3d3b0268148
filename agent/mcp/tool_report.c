/* SPDX-License-Identifier: Apache-2.0 */
/* tool_report.c - coder_report_task. */
#include "agent/mcp/call.h"

void tool_report_task(struct mcp_call *c)
{
    const struct mcp_report report = {
        .state = call_text(c, "state"),
        .summary = call_text(c, "summary"),
        .link = call_text(c, "link"),
    };
    call_report(c, &report);
}
