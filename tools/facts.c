#include "facts.h"

#include <stdio.h>
#include <string.h>

#include "core/util.h"
#include "json_line.h"
#include "text.h"

#define KEY_WIDTH 14 /* with its colon; as the other lines of show have it */

static void print_line(const char *key, const char *text, size_t width)
{
    SS_AUTO_FREE char *label = report_format("%s:", key);
    SS_AUTO_FREE char *safe = text_safe(text);

    printf("  %-*s %s\n", (int)width, label, safe);
}

/* Longer keys have a wider column. */
static size_t width_of(const struct ss_inside *inside)
{
    size_t width = KEY_WIDTH;

    for (size_t i = 0; i < inside->fact_count; i++)
        if (strlen(inside->facts[i].key) + 1 > width)
            width = strlen(inside->facts[i].key) + 1;
    return width;
}

void facts_print(const struct ss_inside *inside)
{
    const size_t width = width_of(inside);
    const struct ss_finding_text *text = ss_finding_text(inside->finding);
    /* Whether it has a seal is said elsewhere. */
    const char *sentence = inside->finding == SS_COMPLETE ? "its own marks say that its end is there" : text->sentence;
    SS_AUTO_FREE char *marks = report_format("%s: %s%s%s%s", text->id, sentence, *inside->detail ? " (" : "",
                                             inside->detail, *inside->detail ? ")" : "");

    print_line("inside", inside->title, KEY_WIDTH);
    print_line("judged", marks, KEY_WIDTH);
    for (size_t i = 0; i < inside->fact_count; i++)
        print_line(inside->facts[i].key, inside->facts[i].text, width);
}

/* The first of a key stands alone, in hexadecimal too when it is not UTF-8; with a second one it becomes an array. */
static void put_fact(json_t *facts, const struct ss_fact *fact)
{
    json_t *first = json_object_get(facts, fact->key);

    if (!first) {
        json_line_text(facts, fact->key, fact->text);
        return;
    }
    json_t *holder = json_line_object();
    json_line_text(holder, "text", fact->text);
    if (!json_is_array(first)) {
        json_t *array = report_must(json_array());
        if (json_array_append(array, first) < 0)
            report_must(NULL);
        json_line_put(facts, fact->key, array);
        first = array;
    }
    if (json_array_append(first, json_object_get(holder, "text")) < 0)
        report_must(NULL);
    json_decref(holder);
}

json_t *facts_json(const struct ss_inside *inside)
{
    json_t *object = json_line_object(), *facts = json_line_object();

    json_line_text(object, "kind", inside->kind);
    json_line_text(object, "title", inside->title);
    json_line_text(object, "finding", ss_finding_text(inside->finding)->id);
    json_line_text(object, "detail", inside->detail);
    for (size_t i = 0; i < inside->fact_count; i++)
        put_fact(facts, &inside->facts[i]);
    json_line_put(object, "facts", facts);
    return object;
}
