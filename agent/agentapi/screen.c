/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvterm keeps the cells.  Two things stand between it and a stranger's bytes: a control string
 * (OSC, DCS, …) that does not end would be kept whole in memory, so what is too long of one is
 * dropped here; and a row's text is only made again when libvterm says that the row was touched.
 */
#include "agent/agentapi/screen.h"

#include <stdbool.h>
#include <string.h>
#include <vterm.h>

#include "core/base/mem.h"

#define CONTROL_STRING_MAX 4096

enum filter { FILTER_TEXT, FILTER_ESCAPE, FILTER_STRING, FILTER_STRING_ESCAPE };

struct screen {
    VTerm *vt;
    VTermScreen *cells;
    int rows, cols;
    screen_answer_fn answer;
    void *arg;
    enum filter filter;
    size_t string_n; /* bytes of the control string so far */
    bool is_stale;
    struct row *row_texts;
    struct strbuf text;
};

struct row {
    bool is_stale;
    struct strbuf text;
};

static void on_output(const char *data, size_t n, void *user)
{
    struct screen *s = user;
    s->answer(s->arg, data, n);
}

static int on_damage(VTermRect rect, void *user)
{
    struct screen *s = user;
    for (int row = rect.start_row; row < rect.end_row && row < s->rows; row++)
        s->row_texts[row].is_stale = true;
    return 1;
}

struct screen *screen_new(int rows, int cols, screen_answer_fn answer, void *arg)
{
    struct screen *s = mem_alloc(sizeof(*s));
    s->rows = rows;
    s->cols = cols;
    s->answer = answer;
    s->arg = arg;
    s->row_texts = mem_calloc((size_t)rows, sizeof(*s->row_texts));
    for (int row = 0; row < rows; row++)
        strbuf_init(&s->row_texts[row].text);
    s->vt = vterm_new(rows, cols);
    vterm_set_utf8(s->vt, 1);
    vterm_output_set_callback(s->vt, on_output, s);
    s->cells = vterm_obtain_screen(s->vt);
    static const VTermScreenCallbacks callbacks = {.damage = on_damage};
    vterm_screen_set_callbacks(s->cells, &callbacks, s);
    vterm_screen_set_damage_merge(s->cells, VTERM_DAMAGE_ROW);
    vterm_screen_enable_altscreen(s->cells, 1);
    vterm_screen_reset(s->cells, 1);
    strbuf_init(&s->text);
    return s;
}

void screen_free(struct screen *s)
{
    if (s == NULL)
        return;
    vterm_free(s->vt);
    for (int row = 0; row < s->rows; row++)
        strbuf_done(&s->row_texts[row].text);
    free(s->row_texts);
    strbuf_done(&s->text);
    free(s);
}

/* ---- feeding ---- */

static bool begins_string(char c)
{
    return c == ']' || c == 'P' || c == '_' || c == '^' || c == 'X';
}

static enum filter filter_next(enum filter now, char c)
{
    bool is_in_string = now == FILTER_STRING || now == FILTER_STRING_ESCAPE;
    if (c == '\x18' || c == '\x1a')
        return FILTER_TEXT; /* CAN, SUB: give up whatever it was */
    if (is_in_string && c == '\a')
        return FILTER_TEXT;
    if (c == '\x1b')
        return is_in_string ? FILTER_STRING_ESCAPE : FILTER_ESCAPE;
    switch (now) {
    case FILTER_ESCAPE:
        return begins_string(c) ? FILTER_STRING : FILTER_TEXT;
    case FILTER_STRING_ESCAPE: /* ESC \ ends it; ESC and anything else begins something new */
        return begins_string(c) ? FILTER_STRING : FILTER_TEXT;
    default:
        return now;
    }
}

/* Is this byte of a control string that is longer than any honest one? */
static bool is_dropped(struct screen *s, char c)
{
    enum filter before = s->filter;
    s->filter = filter_next(before, c);
    if (before != FILTER_STRING || s->filter != FILTER_STRING) {
        s->string_n = 0;
        return false;
    }
    return ++s->string_n > CONTROL_STRING_MAX;
}

void screen_feed(struct screen *s, const char *data, size_t n)
{
    size_t from = 0;
    s->is_stale = true;
    for (size_t i = 0; i < n; i++) {
        if (!is_dropped(s, data[i]))
            continue;
        if (i > from)
            vterm_input_write(s->vt, data + from, i - from);
        from = i + 1;
    }
    if (n > from)
        vterm_input_write(s->vt, data + from, n - from);
}

void screen_paste(struct screen *s, const char *text, size_t n)
{
    vterm_keyboard_start_paste(s->vt);
    s->answer(s->arg, text, n);
    vterm_keyboard_end_paste(s->vt);
}

/* ---- text ---- */

static void add_utf8(struct strbuf *out, uint32_t c)
{
    if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) || c < 0x20 || (c >= 0x7f && c < 0xa0))
        c = 0xfffd;
    char b[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    if (n == 1) {
        b[0] = (char)c;
    } else {
        static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
        for (size_t i = n - 1; i > 0; i--, c >>= 6)
            b[i] = (char)(0x80 | (c & 0x3f));
        b[0] = (char)(lead[n] | c);
    }
    strbuf_add(out, b, n);
}

/* The buffer ends behind the first n bytes. */
static void cut(struct strbuf *b, size_t n)
{
    b->len = n;
    if (b->room > 0)
        b->s[n] = '\0';
}

static void render_row(struct screen *s, int row)
{
    struct strbuf *text = &s->row_texts[row].text;
    size_t end = 0; /* behind the last cell that is not blank */
    VTermScreenCell cell;
    strbuf_clear(text);
    for (VTermPos at = {row, 0}; at.col < s->cols; at.col++) {
        if (!vterm_screen_get_cell(s->cells, at, &cell) || cell.chars[0] == UINT32_MAX)
            continue; /* the second half of a wide character */
        for (int i = 0; i < VTERM_MAX_CHARS_PER_CELL && cell.chars[i] != 0; i++)
            add_utf8(text, cell.chars[i]);
        if (cell.chars[0] == 0)
            strbuf_addch(text, ' ');
        else if (cell.chars[0] != ' ' && cell.chars[0] != 0xa0)
            end = text->len;
    }
    cut(text, end);
    s->row_texts[row].is_stale = false;
}

const struct strbuf *screen_text(struct screen *s)
{
    if (!s->is_stale)
        return &s->text;
    s->is_stale = false;
    vterm_screen_flush_damage(s->cells);
    strbuf_clear(&s->text);
    size_t end = 0; /* behind the last line that is not empty */
    for (int row = 0; row < s->rows; row++) {
        struct row *r = &s->row_texts[row];
        if (r->is_stale)
            render_row(s, row);
        if (row > 0)
            strbuf_addch(&s->text, '\n');
        strbuf_add(&s->text, r->text.s, r->text.len);
        if (r->text.len > 0)
            end = s->text.len;
    }
    cut(&s->text, end);
    return &s->text;
}
