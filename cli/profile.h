/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile.h - whom the commands speak to, and as whom.
 *
 * In falling order: --url; STINT_URL and STINT_TOKEN; CODER_URL and CODER_SESSION_TOKEN; the file
 * that `stint login` writes: $XDG_CONFIG_HOME/stint/config.json (else ~/.config/…), mode 0600,
 * {"url": "…", "token": "…"}.  A stored token is only ever sent to the URL it was stored with.
 */
#ifndef CLI_PROFILE_H
#define CLI_PROFILE_H

#include "cli/cli.h"

/* Fill url, token and config_path of `cli` from the environment and the file. */
void profile_load(struct cli *cli);
/* Take another URL for this run; a token of the file that belongs to another URL is dropped. */
enum err must_check profile_set_url(struct cli *cli, const char *url, const char *origin);
/* Write url and token; atomic, 0600. */
enum err must_check profile_store(struct cli *cli);
/* Forget the token in the file; the URL stays.  Not having one is no error. */
enum err must_check profile_forget(struct cli *cli);

/* "host:7080/" -> "http://host:7080": adds the scheme (http on this machine, else https), drops
 * slashes at the end.  NULL when it is no http(s) URL. */
char *profile_clean_url(const char *text);

#endif
