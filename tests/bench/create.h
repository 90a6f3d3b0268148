/* SPDX-License-Identifier: Apache-2.0 */
/* create.h - the command "create". */
#ifndef TESTS_BENCH_CREATE_H
#define TESTS_BENCH_CREATE_H

int create_main(int argc, char **argv);

#endif
