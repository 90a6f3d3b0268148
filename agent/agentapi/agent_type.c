/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Four shapes of input boxes, seen from the bottom of the screen:
 *
 *   BOX_PROMPT    ────────   or   ╭──────╮   or only   > |
 *                 ❯ |             │ > |  │
 *                 ────────        ╰──────╯
 *   BOX_CODEX     › |  and a line or two below it; of older ones "▌ …"
 *   BOX_ROUND     the last ╭──╮ … ╰──╯
 *   BOX_OPENCODE  ┃ lines closed by ╹▀▀▀▀
 */
#include "agent/agentapi/agent_type.h"

#include <string.h>

#include "core/base/cleanup.h"

/* A box, its footer, and a little more: a prompt is looked for among so many last lines. */
#define PROMPT_DEPTH   8
#define CODEX_DEPTH    6
#define FOOTER_MAX     12
#define OPENCODE_INPUT 4
#define RULE_MIN       15

enum box { BOX_PROMPT, BOX_CODEX, BOX_ROUND, BOX_OPENCODE };

static const struct type {
    const char *name, *alias;
    enum box box;
    size_t header;
} types[] = {
#define TYPE(sym, name, alias, box, header) {name, alias, box, header},
#include "agent/agentapi/agent_type.def"
};

/* ---- names ---- */

const char *agent_type_name(enum agent_type type)
{
    return types[type].name;
}

bool agent_type_parse(const char *text, enum agent_type *ret_type)
{
    for (size_t i = 0; i < COUNT(types); i++) {
        if (strcmp(text, types[i].name) != 0 &&
            (types[i].alias == NULL || strcmp(text, types[i].alias) != 0))
            continue;
        *ret_type = (enum agent_type)i;
        return true;
    }
    return false;
}

enum agent_type agent_type_of_program(const char *path)
{
    const char *slash = strrchr(path, '/');
    enum agent_type type = AGENT_CUSTOM;
    agent_type_parse(slash != NULL ? slash + 1 : path, &type);
    return type;
}

void agent_type_names(struct strbuf *out)
{
    for (size_t i = 0; i < COUNT(types); i++) {
        strbuf_addf(out, "%s%s", i > 0 ? ", " : "", types[i].name);
        if (types[i].alias != NULL)
            strbuf_addf(out, ", %s", types[i].alias);
    }
}

size_t agent_type_header(enum agent_type type)
{
    return types[type].header;
}

/* ---- what a line is ---- */

/* A line that is drawn: at least RULE_MIN strokes in a row. */
static bool is_rule(struct line l)
{
    size_t run = 0;
    for (size_t at = 0; at < l.n;) {
        uint32_t c = line_char(l, &at);
        bool is_stroke = c == 0x2500 || c == 0x2501 || c == 0x2550 || c == 0x254c || c == 0x2504;
        run = is_stroke ? run + 1 : 0;
        if (run >= RULE_MIN)
            return true;
    }
    return false;
}

/* Without blanks and a box's side at its begin. */
static struct line without_side(struct line l)
{
    static const char *const sides[] = {"│", "┃", "|", "▌"};
    l = line_trim(l);
    for (size_t i = 0; i < COUNT(sides); i++) {
        if (!line_begins(l, sides[i]))
            continue;
        size_t n = strlen(sides[i]);
        return line_trim((struct line){l.s + n, l.n - n});
    }
    return l;
}

static bool is_arrow_only(struct line word)
{
    for (size_t i = 0; i < word.n; i++)
        if (strchr("-=>", word.s[i]) == NULL)
            return false;
    return word.n > 1;
}

/* "❯ 1. Yes": something to choose from, nothing to type into. */
static bool is_menu(struct line l)
{
    l = line_trim((struct line){l.s + strlen("❯"), l.n - strlen("❯")});
    return l.n > 1 && l.s[0] >= '1' && l.s[0] <= '9' && l.s[1] == '.';
}

/* "> ", "❯", "( O)>", "ai>": the first word is, or ends as, a prompt.  Not "->" nor "<p>". */
static bool is_prompt(struct line l)
{
    l = without_side(l);
    if (line_begins(l, "❯") || line_begins(l, "›"))
        return !is_menu(l);
    if (line_begins(l, "( O)>"))
        return true;
    const char *blank = memchr(l.s, ' ', l.n);
    struct line word = {l.s, blank != NULL ? (size_t)(blank - l.s) : l.n};
    return word.n > 0 && word.s[word.n - 1] == '>' && word.s[0] != '<' && !is_arrow_only(word);
}

/* ---- boxes ---- */

static size_t lowest(size_t n, size_t depth)
{
    return n > depth ? n - depth : 0;
}

/* A prompt between two rules, however long its footer. */
static size_t ruled_box(const struct lines *lines)
{
    for (size_t bottom = lines->n; bottom-- > lowest(lines->n, FOOTER_MAX);) {
        if (!is_rule(lines->v[bottom]))
            continue;
        size_t top = bottom;
        while (top-- > 0 && !is_rule(lines->v[top]))
            ;
        if (top == SIZE_MAX || top + 1 == bottom)
            continue;
        struct line first = lines->v[top + 1];
        if (is_prompt(first) || line_begins(line_trim(first), "│") || line_begins(first, "|"))
            return top;
    }
    return lines->n;
}

static size_t prompt_box(const struct lines *lines)
{
    size_t ruled = ruled_box(lines);
    if (ruled < lines->n)
        return ruled;
    for (size_t i = lines->n; i-- > lowest(lines->n, PROMPT_DEPTH);)
        if (is_prompt(lines->v[i]))
            return i > 0 && is_rule(lines->v[i - 1]) ? i - 1 : i;
    return lines->n;
}

static size_t codex_box(const struct lines *lines)
{
    for (size_t i = lines->n; i-- > lowest(lines->n, CODEX_DEPTH);) {
        struct line l = line_trim(lines->v[i]);
        if ((line_begins(l, "›") && !is_menu(l)) || line_begins(l, "▌ "))
            return i;
    }
    return lines->n;
}

static size_t round_box(const struct lines *lines)
{
    bool has_bottom = false;
    for (size_t i = lines->n; i-- > 0;) {
        struct line l = line_trim(lines->v[i]);
        if (!has_bottom && line_begins(l, "╰") && line_has(l, "╯"))
            has_bottom = true;
        else if (has_bottom && line_begins(l, "╭") && line_has(l, "╮"))
            return i;
    }
    return lines->n;
}

static size_t opencode_box(const struct lines *lines)
{
    for (size_t i = lines->n; i-- > OPENCODE_INPUT;)
        if (line_begins(line_trim(lines->v[i]), "╹▀▀▀▀▀▀▀"))
            return i - OPENCODE_INPUT;
    return lines->n;
}

size_t agent_type_box(enum agent_type type, const struct lines *lines)
{
    switch (types[type].box) {
    case BOX_CODEX:
        return codex_box(lines);
    case BOX_ROUND:
        return round_box(lines);
    case BOX_OPENCODE:
        return opencode_box(lines);
    case BOX_PROMPT:
        break;
    }
    return prompt_box(lines);
}

bool agent_type_is_ready(enum agent_type type, const struct lines *lines)
{
    return agent_type_box(type, lines) < lines->n;
}
