/* SPDX-License-Identifier: Apache-2.0 */
/* reports.h - the command "reports". */
#ifndef TESTS_BENCH_REPORTS_H
#define TESTS_BENCH_REPORTS_H

int reports_main(int argc, char **argv);

#endif
