/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rude_server.h - one conversation with a server that hangs up in the middle of a word.
 *
 * It greets who comes (after the first message, where one is expected), waits for the next message,
 * answers half of something without having read it, and closes: the client's socket then has bytes
 * to read and an error at the same time.
 */
#ifndef TESTS_UNIT_CORE_RUDE_SERVER_H
#define TESTS_UNIT_CORE_RUDE_SERVER_H

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct rude_server {
    char dir[32], path[64];
    int fd;
    pthread_t thread;
    const char *greeting, *last_words;
    size_t greeting_n, last_words_n;
};

static void *rude_server_run(void *arg)
{
    struct rude_server *s = arg;
    char first[1024];
    int fd = accept(s->fd, NULL, NULL);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    if (s->greeting_n > 0 &&
        (read(fd, first, sizeof(first)) < 0 || write(fd, s->greeting, s->greeting_n) < 0))
        abort();
    poll(&wait, 1, 30000);
    if (write(fd, s->last_words, s->last_words_n) < 0)
        abort();
    close(fd);
    return NULL;
}

/* Listens as `name` in a directory of its own. */
static inline void rude_server_start(struct rude_server *s, const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(s->dir, sizeof(s->dir), "/tmp/stint-rude-XXXXXX");
    if (mkdtemp(s->dir) == NULL)
        abort();
    snprintf(s->path, sizeof(s->path), "%s/%s", s->dir, name);
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", s->path);
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(s->fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(s->fd, 1) != 0 ||
        pthread_create(&s->thread, NULL, rude_server_run, s) != 0)
        abort();
}

/* After it has hung up. */
static inline void rude_server_done(struct rude_server *s)
{
    pthread_join(s->thread, NULL);
    close(s->fd);
    unlink(s->path);
    rmdir(s->dir);
}

#endif
