/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_manifest.h - what Terraform's provider says of an agent, in the words of the agent's
 * manifest (agent/manifest.h); with the texts of scripts as they are and paths not yet of any
 * machine: agent/remote.c makes both its own.
 */
#ifndef GATEWAY_AGENT_MANIFEST_H
#define GATEWAY_AGENT_MANIFEST_H

#include <jansson.h>

/* The grace time of a container is 300 s in Coder's advice; what is left over is for the network.
 */
#define AGENT_MANIFEST_GRACE_MS 240000

/* Adds to `manifest` what `agent` (build_resources.agent) declares; `app_slug` is the task's app.
 */
void agent_manifest_put(json_t *manifest, const json_t *agent, const char *app_slug);

/* The port of "http://localhost:3284/chat"; 0: the URL is not one of this machine. */
int agent_manifest_port(const char *url);

#endif
