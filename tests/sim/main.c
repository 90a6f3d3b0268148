/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - stint-sim: the whole cluster in one process, in virtual time, by seed.
 *
 * A variant whose code differs is a program of its own beside this one (mutate.py): asked for such
 * a variant, this one becomes that.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "tests/sim/run.h"

#ifndef STINT_SIM_MUTANT
#define STINT_SIM_MUTANT "none"
#endif

#define TASKS   12
#define SECONDS 120

struct row {
    const char *name, *text;
    unsigned seeds;     /* variants: within which it must be found */
    const char *faults; /* under these */
};

static const struct row faults[] = {
#define FAULT(symbol, name, text) {name, text, 0, NULL},
#include "tests/sim/fault.def"
};

static const struct row variants[] = {
#define VARIANT(symbol, name, seeds, faults, text) {name, text, seeds, faults},
#include "tests/sim/variant.def"
};

/* ---- texts ---- */

const char *variant_name(enum variant v)
{
    return variants[v].name;
}

const char *faults_text(unsigned set)
{
    static char text[512];
    if (set == FAULTS_ALL)
        return "all";
    text[0] = '\0';
    for (int f = 0; f < FAULT_COUNT; f++)
        if ((set & 1u << f) != 0) {
            strncat(text, text[0] != '\0' ? "," : "", sizeof(text) - strlen(text) - 1);
            strncat(text, faults[f].name, sizeof(text) - strlen(text) - 1);
        }
    return text[0] != '\0' ? text : "none";
}

const char *options_text(const struct options *o)
{
    static char text[700];
    int n = snprintf(text, sizeof(text), "--seed %llu --faults %s --tasks %u --seconds %lld",
        (unsigned long long)o->seed, faults_text(o->faults), o->tasks, (long long)o->chaos_s);
    if (o->variant != VARIANT_NONE)
        snprintf(text + n, sizeof(text) - (size_t)n, " --variant %s", variants[o->variant].name);
    return text;
}

static void print_rows(const char *title, const struct row *rows, size_t n)
{
    printf("\n%s\n", title);
    for (size_t i = 0; i < n; i++)
        printf("  %-16s %s\n", rows[i].name, rows[i].text);
}

static void help(void)
{
    puts("stint-sim - the whole cluster in one process: virtual time, one seed, faults\n"
         "\n"
         "  stint-sim --seed 7               one world; the same seed gives the same digest\n"
         "  stint-sim --seed 7 --trace       what happens in it, line by line, on stderr\n"
         "  stint-sim --seeds 10000          worlds 1 to 10000; a failing one is made smaller\n"
         "  stint-sim --seeds 100 --first 500 --jobs 2 --faults crash,lost --tasks 5\n"
         "  stint-sim --lives 1000000        as many worlds as a million tasks need (a night)\n"
         "  stint-sim --variants             every bad variant must be found\n"
         "  stint-sim --regressions FILE     every line of the file must pass\n"
         "\n"
         "  --seconds N     how long faults happen in a world (120)\n"
         "  --tasks N       tasks in a world (12)\n"
         "  --variant NAME  the code with something broken on purpose\n"
         "  --until-found   end with the first violation; none is the failure");
    print_rows("Faults (--faults all, none, or a list):", faults, COUNT(faults));
    print_rows("Variants:", variants, COUNT(variants));
}

/* ---- reading options ---- */

static size_t find(const struct row *rows, size_t n, const char *name, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(rows[i].name) == len && strncmp(rows[i].name, name, len) == 0)
            return i;
    fprintf(stderr, "stint-sim: there is no \"%.*s\"; see --help\n", (int)len, name);
    exit(64);
}

static unsigned read_faults(const char *text)
{
    if (strcmp(text, "all") == 0)
        return FAULTS_ALL;
    if (strcmp(text, "none") == 0)
        return 0;
    unsigned set = 0;
    for (const char *at = text; *at != '\0';) {
        size_t n = strcspn(at, ",");
        set |= 1u << find(faults, COUNT(faults), at, n);
        at += n + (at[n] == ',');
    }
    return set;
}

struct command {
    struct many many;
    const char *regressions;
    bool one, variants;
};

static const struct option flags[] = {
    {"seed",        required_argument, NULL, 's'},
    {"seeds",       required_argument, NULL, 'n'},
    {"first",       required_argument, NULL, 'f'},
    {"jobs",        required_argument, NULL, 'j'},
    {"faults",      required_argument, NULL, 'F'},
    {"tasks",       required_argument, NULL, 't'},
    {"seconds",     required_argument, NULL, 'd'},
    {"lives",       required_argument, NULL, 'l'},
    {"variant",     required_argument, NULL, 'v'},
    {"regressions", required_argument, NULL, 'r'},
    {"variants",    no_argument,       NULL, 'V'},
    {"until-found", no_argument,       NULL, 'u'},
    {"trace",       no_argument,       NULL, 'x'},
    {"help",        no_argument,       NULL, 'h'},
    {NULL,          0,                 NULL, 0  },
};

static void take_flag(struct command *c, int flag, const char *value)
{
    struct options *o = &c->many.options;
    unsigned long long n = value != NULL ? strtoull(value, NULL, 10) : 0;
    switch (flag) {
    case 's':
        c->one = true;
        o->seed = n;
        return;
    case 'n':
        c->many.seeds = n;
        return;
    case 'f':
        o->seed = n;
        return;
    case 'j':
        c->many.jobs = n > 0 ? (unsigned)n : 1;
        return;
    case 'F':
        o->faults = read_faults(value);
        return;
    case 't':
        o->tasks = n > 0 ? (unsigned)n : 1;
        return;
    case 'd':
        o->chaos_s = n > 0 ? (int64_t)n : 1;
        return;
    case 'l':
        c->many.lives = n;
        return;
    case 'v':
        o->variant = (enum variant)find(variants, COUNT(variants), value, strlen(value));
        return;
    default:
        break;
    }
}

static void take_word(struct command *c, int flag, const char *value)
{
    switch (flag) {
    case 'r':
        c->regressions = value;
        return;
    case 'V':
        c->variants = true;
        return;
    case 'u':
        c->many.until_found = true;
        return;
    case 'x':
        c->many.options.trace = true;
        return;
    case 'h':
        help();
        exit(0);
    case '?':
        exit(64);
    default:
        take_flag(c, flag, value);
    }
}

static void read_words(struct command *c, int argc, char **argv)
{
    int flag;
    optind = 1;
    while ((flag = getopt_long(argc, argv, "h", flags, NULL)) != -1)
        take_word(c, flag, optarg);
    if (optind < argc) {
        fprintf(stderr, "stint-sim: \"%s\" is no option; see --help\n", argv[optind]);
        exit(64);
    }
}

static struct command no_command(void)
{
    struct command c = {0};
    c.many.jobs = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    c.many.options =
        (struct options){.seed = 1, .faults = FAULTS_ALL, .tasks = TASKS, .chaos_s = SECONDS};
    return c;
}

/* ---- mutants ---- */

/* Is it the program that has this variant?  If not, become it. */
static void become(enum variant v, char **argv)
{
    static const char *const mutants[] = {STINT_SIM_MUTANTS};
    char path[4096];
    const char *name = variants[v].name;
    bool is_mutant = false;
    for (size_t i = 0; i < COUNT(mutants); i++)
        is_mutant = is_mutant || strcmp(mutants[i], name) == 0;
    if (!is_mutant || strcmp(STINT_SIM_MUTANT, name) == 0)
        return;
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);
    snprintf(path + (n > 0 ? n : 0), 64, "-%s", name);
    execv(path, argv);
    perror(path);
    exit(69);
}

/* ---- what is asked for ---- */

static void print_figures(const struct figures *f, uint64_t worlds, double seconds)
{
    double virtual_s = (double)f->virtual_us / 1e6;
    printf("worlds %llu, steps %llu, simulated hours %.2f, speed %.0f times real time\n"
           "commits %llu, elections %llu, deaths %llu, builds %llu, actions %llu, reports %llu, "
           "prompts %llu, messages %llu\n",
        (unsigned long long)worlds, (unsigned long long)f->events, virtual_s / 3600,
        seconds > 0 ? virtual_s / seconds : 0, (unsigned long long)f->commits,
        (unsigned long long)f->elections, (unsigned long long)f->crashes,
        (unsigned long long)f->builds, (unsigned long long)f->jobs, (unsigned long long)f->reports,
        (unsigned long long)f->prompts, (unsigned long long)f->messages);
}

static int run_seed(const struct options *o)
{
    struct many one = {.options = *o, .seeds = 1, .jobs = 1};
    struct sum s = run_many(&one);
    printf("seed %llu digest %016llx\n", (unsigned long long)o->seed,
        (unsigned long long)s.figures.digest);
    print_figures(&s.figures, s.worlds, s.seconds);
    return s.failed > 0 ? 1 : 0;
}

static void show_failure(const struct many *m, const struct sum *s)
{
    struct options o = m->options;
    o.seed = s->first_failed;
    printf("seed %llu failed: %s\n", (unsigned long long)o.seed, s->why);
    o = shrink(&o);
    printf("smaller: %s\nreproduce: stint-sim %s --trace\n", run_one(&o).why, options_text(&o));
}

static int run_seeds(const struct many *m)
{
    struct many all = *m;
    if (m->lives > 0)
        all.seeds = (m->lives + m->options.tasks - 1) / m->options.tasks;
    struct sum s = run_many(&all);
    printf("seeds %llu to %llu, faults %s, %llu task lives in %.1f s: %llu failed\n",
        (unsigned long long)all.options.seed,
        (unsigned long long)(all.options.seed + all.seeds - 1), faults_text(all.options.faults),
        (unsigned long long)s.lives, s.seconds, (unsigned long long)s.failed);
    print_figures(&s.figures, s.worlds, s.seconds);
    if (s.failed > 0 && !m->until_found)
        show_failure(&all, &s);
    return m->until_found ? s.failed == 0 : s.failed > 0;
}

/* Each variant must be found within its number of seeds. */
static int run_variants(const struct many *m, char **argv)
{
    int missed = 0;
    for (size_t v = VARIANT_NONE + 1; v < COUNT(variants); v++) {
        char command[4400];
        snprintf(command, sizeof(command),
            "'%s' --variant %s --faults %s --seeds %u --jobs %u --until-found 2>/dev/null | "
            "grep '^seed '",
            argv[0], variants[v].name, variants[v].faults, variants[v].seeds, m->jobs);
        char line[600] = "";
        FILE *f = popen(command, "r");
        if (f == NULL || fgets(line, sizeof(line), f) == NULL) {
            missed++;
            snprintf(line, sizeof(line), "NOT FOUND within %u seeds\n", variants[v].seeds);
        }
        if (f != NULL)
            pclose(f);
        printf("variant %-16s %s", variants[v].name, line);
        fflush(stdout);
    }
    return missed > 0;
}

/* A line: options, then "# " and a sentence. */
static int run_line(char *line)
{
    char *words[32] = {"stint-sim"};
    int n = 1;
    line[strcspn(line, "#\n")] = '\0';
    for (char *word; n < 31 && (word = strsep(&line, " \t")) != NULL;)
        if (word[0] != '\0')
            words[n++] = word;
    if (n == 1)
        return 0;
    struct command c = no_command();
    read_words(&c, n, words);
    struct outcome o = run_one(&c.many.options);
    printf("%s %s%s%s\n", o.good ? "ok  " : "FAIL", options_text(&c.many.options),
        o.good ? "" : ": ", o.why);
    return !o.good;
}

static int run_regressions(const char *path)
{
    char line[1000];
    int failed = 0;
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        perror(path);
        return 66;
    }
    while (fgets(line, sizeof(line), f) != NULL)
        failed += run_line(line);
    fclose(f);
    return failed > 0;
}

int main(int argc, char **argv)
{
    struct command c = no_command();
    log_init("sim");
    log_set_level(LOG_ERROR + 1);
    read_words(&c, argc, argv);
    if (c.many.options.trace)
        log_set_level(LOG_DEBUG);
    become(c.many.options.variant, argv);
    if (c.regressions != NULL)
        return run_regressions(c.regressions);
    if (c.variants)
        return run_variants(&c.many, argv);
    if (c.one || (c.many.seeds == 0 && c.many.lives == 0))
        return run_seed(&c.many.options);
    return run_seeds(&c.many);
}
