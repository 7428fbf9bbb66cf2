/* The answers of verify for programs: docs/verify.schema.json. */
#include "json_line.h"
#include "verify.h"

/* A key that comes several times has an array of its texts. */
static void put_fact(json_t *facts, const struct ss_fact *fact)
{
    json_t *first = json_object_get(facts, fact->key), *all = first, *next = json_line_object();

    if (!first) {
        json_decref(next);
        json_line_text(facts, fact->key, fact->text);
        return;
    }
    if (!json_is_array(first)) {
        all = report_must(json_array());
        json_array_append(all, first);
        json_line_put(facts, fact->key, all);
    }
    json_line_text(next, fact->key, fact->text);
    if (json_array_append(all, json_object_get(next, fact->key)) < 0)
        report_must(NULL);
    json_decref(next);
}

static json_t *inside_object(const struct ss_inside *inside)
{
    json_t *object = json_line_object(), *facts = json_line_object();

    json_line_text(object, "kind", inside->kind);
    json_line_text(object, "title", inside->title);
    json_line_text(object, "finding", ss_finding_text(inside->finding)->id);
    if (*inside->detail)
        json_line_text(object, "detail", inside->detail);
    for (size_t i = 0; i < inside->fact_count; i++)
        put_fact(facts, &inside->facts[i]);
    json_line_put(object, "facts", facts);
    return object;
}

static void put_seal(json_t *object, const struct ss_seal *seal)
{
    json_line_text(object, "format", ss_format_name(seal->format));
    json_line_number(object, "sealed_size", seal->size);
    json_line_time(object, "sealed", seal->sealed);
    json_line_text(object, "writer", seal->writer);
}

void verify_json_answer(const struct verify_wanted *wanted, const struct verify_answer *answer)
{
    const struct ss_check *check = &answer->check;
    json_t *object = json_line_file(answer->item.path, answer->item.sorry ? "directory"
                                                       : check->draft     ? "draft"
                                                                          : "image");

    json_line_judgement(object, &check->why);
    json_line_number(object, "size", check->size);
    if (wanted->bitmap)
        json_line_text(object, "bitmap", wanted->bitmap);
    else if (check->why.finding == SS_INTACT)
        json_line_text(object, "checked", check->content ? "content" : "header");
    if (wanted->against) {
        json_line_text(object, "against", wanted->against);
        json_line_text(object, "reference", wanted->reference);
    }
    if (answer->remembered)
        json_line_bool(object, "remembered", true);
    if (check->has_seal)
        put_seal(object, &check->seal);
    if (check->looked_inside)
        json_line_put(object, "inside", inside_object(&check->inside));
    json_line_print(object);
}

void verify_json_summary(const struct tally *tally, const char *stopped)
{
    json_t *object = json_line_object(), *summary = json_line_object();

    for (unsigned part = 0; part < TALLY_PARTS; part++)
        json_line_number(summary, tally_key(part), tally->count[part]);
    json_line_put(object, "summary", summary);
    if (stopped)
        json_line_text(object, "stopped", stopped);
    json_line_number(object, "exit", (uint64_t)tally->worst);
    json_line_print(object);
}
