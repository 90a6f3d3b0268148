/* SPDX-License-Identifier: Apache-2.0 */
/*
 * races.c - what ThreadSanitizer passes over, linked into all programs of such a build, for it can
 * reach an agent in its sandbox in no other way.
 *
 * One line, for a library that is not built for it: Debian's nng counts who uses an aio or a dialer
 * with atomics that ThreadSanitizer cannot see, and whoever is the last destroys the mutex, which
 * then seems to race with the others' last unlocking.  Our own mutexes live as long as what they
 * guard, and are destroyed once its threads have been joined.
 */
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
    return "race:pthread_mutex_destroy\n";
}
