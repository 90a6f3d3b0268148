/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init_script.h - what coder_agent's init_script is: the shell script by which a workspace that
 * Terraform has made fetches its agent.  For CODER_AGENT_SCRIPT_<os>_<arch> of the provider, which
 * puts the gateway's URL in the place of ${ACCESS_URL}.
 */
#ifndef WORKER_PROVISIONER_TERRAFORM_INIT_SCRIPT_H
#define WORKER_PROVISIONER_TERRAFORM_INIT_SCRIPT_H

/* For linux on amd64 and arm64; NULL: there is no agent for that. */
const char *terraform_init_script(const char *os, const char *arch);

#endif
