/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault_send.c - between us and nng.
 *
 * A message has no connection that can be seen before it leaves; where the last one of the same aio
 * came from is where this one is taken to go.
 */
#include <nng/nng.h>
#include <pthread.h>
#include <stdint.h>

#include "tests/fault/fault.h"

#define PLACES 4096

#define REAL(name) ((__typeof__(name) *)fault_real(#name))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    nng_aio *aio;
    nng_pipe pipe;
} places[PLACES], last;

static void remember(nng_aio *aio, nng_pipe pipe)
{
    size_t i = ((uintptr_t)aio >> 4) % PLACES;
    pthread_mutex_lock(&lock);
    places[i].aio = aio;
    places[i].pipe = last.pipe = pipe;
    pthread_mutex_unlock(&lock);
}

static nng_pipe pipe_of(nng_aio *aio)
{
    size_t i = ((uintptr_t)aio >> 4) % PLACES;
    pthread_mutex_lock(&lock);
    nng_pipe pipe = places[i].aio == aio ? places[i].pipe : last.pipe;
    pthread_mutex_unlock(&lock);
    return pipe;
}

nng_msg *nng_aio_get_msg(nng_aio *aio)
{
    nng_msg *m = REAL(nng_aio_get_msg)(aio);
    if (m != NULL && nng_pipe_id(nng_msg_get_pipe(m)) > 0)
        remember(aio, nng_msg_get_pipe(m));
    return m;
}

void nng_ctx_send(nng_ctx ctx, nng_aio *aio)
{
    enum fault_way way = fault_at(POINT_SEND);
    if (way == WAY_REFUSED) {
        if (nng_aio_begin(aio))
            nng_aio_finish(aio, NNG_ENOMEM);
        return;
    }
    nng_pipe pipe = pipe_of(aio);
    REAL(nng_ctx_send)(ctx, aio);
    if (way == WAY_UNANSWERED)
        nng_pipe_close(pipe);
}
