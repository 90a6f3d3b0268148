/* SPDX-License-Identifier: Apache-2.0 */
/* init_script.c - one script, with the machine's name put in. */
#include "worker/provisioner/terraform/init_script.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"

#define MARK "@ARCH@"

/* The assembler reads the file. */
__asm__(".section .rodata\n"
        ".global terraform_init_script_text\n"
        "terraform_init_script_text:\n"
        ".incbin \"" INIT_SCRIPT "\"\n"
        ".byte 0\n"
        ".previous\n");

extern const char terraform_init_script_text[];

static struct {
    const char *arch;
    char *text;
} scripts[] = {
    {"amd64", NULL},
    {"arm64", NULL}
};

static void make(void)
{
    const char *text = terraform_init_script_text, *mark = strstr(text, MARK);
    for (size_t i = 0; mark != NULL && i < COUNT(scripts); i++) {
        size_t size = strlen(text) + strlen(scripts[i].arch) + 1;
        scripts[i].text = mem_alloc(size);
        snprintf(scripts[i].text, size, "%.*s%s%s", (int)(mark - text), text, scripts[i].arch,
            mark + strlen(MARK));
    }
}

const char *terraform_init_script(const char *os, const char *arch)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make);
    for (size_t i = 0; i < COUNT(scripts); i++)
        if (strcmp(os, "linux") == 0 && strcmp(arch, scripts[i].arch) == 0)
            return scripts[i].text;
    return NULL;
}
