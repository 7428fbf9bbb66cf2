/* What is asked of results and findings. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check/quote.h"
#include "core/libvirt_error.h"
#include "core/util.h"
#include "private.h"

#define SAME(name) _Static_assert((int)SAVESEAL_CLASS_##name == (int)SS_CLASS_##name, "the classes are the same")
SAME(INTACT);
SAME(DAMAGED);
_Static_assert((int)SAVESEAL_CLASS_INVALID_REQUEST == (int)SS_CLASS_INVALID, "the classes are the same");
SAME(TEMPORARY);
SAME(UNKNOWN);
_Static_assert((int)SAVESEAL_CLASS_CHECKPOINT_INCONSISTENT == (int)SS_CLASS_INCONSISTENT, "the classes are the same");

/* ---- findings ---- */

const char *saveseal_class_name(enum saveseal_class class_)
{
    return (unsigned)class_ <= SAVESEAL_CLASS_CHECKPOINT_INCONSISTENT ? ss_class_name((enum ss_class)class_) : NULL;
}

static enum ss_class known(enum saveseal_class class_)
{
    return saveseal_class_name(class_) ? (enum ss_class)class_ : SS_CLASS_UNKNOWN;
}

enum saveseal_class saveseal_class_worse(enum saveseal_class a, enum saveseal_class b)
{
    return (enum saveseal_class)ss_class_worse(known(a), known(b));
}

const saveseal_finding *ss_library_finding(enum ss_finding finding)
{
    return (const saveseal_finding *)ss_finding_text(finding); /* its first member */
}

const saveseal_finding *saveseal_finding_at(size_t index)
{
    return index < SS_FINDING_COUNT ? ss_library_finding((enum ss_finding)index) : NULL;
}

const saveseal_finding *saveseal_finding_by_id(const char *id)
{
    enum ss_finding finding;

    return id && ss_finding_parse(id, &finding) == 0 ? ss_library_finding(finding) : NULL;
}

const char *saveseal_finding_id(const saveseal_finding *finding)
{
    return finding ? finding->row.id : NULL;
}

enum saveseal_class saveseal_finding_class(const saveseal_finding *finding)
{
    return finding ? (enum saveseal_class)finding->row.class : SAVESEAL_CLASS_UNKNOWN;
}

const char *saveseal_finding_sentence(const saveseal_finding *finding)
{
    return finding ? finding->row.sentence : NULL;
}

const char *saveseal_finding_advice(const saveseal_finding *finding)
{
    return finding ? finding->row.advice : NULL;
}

const char *saveseal_finding_since(const saveseal_finding *finding)
{
    return finding ? finding->row.since : NULL;
}

const saveseal_finding *saveseal_classify(int code, const char *message)
{
    return ss_library_finding(ss_libvirt_finding(code, message ? message : ""));
}

/* ---- results ---- */

static char *line_of(const struct ss_judgement *why)
{
    const struct ss_finding_text *row = ss_finding_text(why->finding);
    SS_AUTO_FREE char *detail = ss_quote_safe(why->detail);
    char *line;

    if (!detail || asprintf(&line, "%s: %s%s%s%s%s%s", row->id, row->sentence, *detail ? " (" : "", detail,
                            *detail ? ")" : "", *row->advice ? "; " : "", row->advice) < 0)
        return NULL;
    return line;
}

int ss_library_complete(saveseal_result *result)
{
    result->seal.seal = result->check.seal;
    if (result->seal.seal.has_verity)
        ss_sha256_format(&result->seal.seal.verity, result->seal.verity);
    result->text = line_of(&result->check.why);
    return result->text ? 0 : -ENOMEM;
}

void saveseal_result_free(saveseal_result *result)
{
    int saved = errno;

    if (result)
        free(result->text);
    free(result);
    errno = saved;
}

const saveseal_finding *saveseal_result_finding(const saveseal_result *result)
{
    return result ? ss_library_finding(result->check.why.finding) : NULL;
}

enum saveseal_class saveseal_result_class(const saveseal_result *result)
{
    return saveseal_finding_class(saveseal_result_finding(result));
}

const char *saveseal_result_text(const saveseal_result *result)
{
    return result ? result->text : NULL;
}

const char *saveseal_result_detail(const saveseal_result *result)
{
    return result ? result->check.why.detail : NULL;
}

uint64_t saveseal_result_size(const saveseal_result *result)
{
    return result ? result->check.size : 0;
}

int saveseal_result_is_draft(const saveseal_result *result)
{
    return result && result->check.draft;
}

int saveseal_result_content_compared(const saveseal_result *result)
{
    return result && result->check.why.finding == SS_INTACT && result->check.content;
}

/* ---- the seal ---- */

const saveseal_seal *saveseal_result_seal(const saveseal_result *result)
{
    return result && result->check.has_seal ? &result->seal : NULL;
}

int64_t saveseal_seal_time(const saveseal_seal *seal)
{
    return seal ? (int64_t)seal->seal.sealed : 0;
}

uint64_t saveseal_seal_size(const saveseal_seal *seal)
{
    return seal ? seal->seal.size : 0;
}

const char *saveseal_seal_format(const saveseal_seal *seal)
{
    return seal ? ss_format_name(seal->seal.format) : NULL;
}

const char *saveseal_seal_writer(const saveseal_seal *seal)
{
    return seal ? seal->seal.writer : NULL;
}

const char *saveseal_seal_verity(const saveseal_seal *seal)
{
    return seal && seal->seal.has_verity ? seal->verity : NULL;
}

/* ---- the inside ---- */

static const struct ss_inside *inside_of(const saveseal_result *result)
{
    return result && result->check.looked_inside ? &result->check.inside : NULL;
}

static const struct ss_fact *fact_of(const saveseal_result *result, size_t index)
{
    const struct ss_inside *inside = inside_of(result);

    return inside && index < inside->fact_count ? &inside->facts[index] : NULL;
}

const char *saveseal_result_inside_kind(const saveseal_result *result)
{
    const struct ss_inside *inside = inside_of(result);

    return inside ? inside->kind : NULL;
}

const char *saveseal_result_inside_title(const saveseal_result *result)
{
    const struct ss_inside *inside = inside_of(result);

    return inside ? inside->title : NULL;
}

const saveseal_finding *saveseal_result_inside_finding(const saveseal_result *result)
{
    const struct ss_inside *inside = inside_of(result);

    return inside ? ss_library_finding(inside->finding) : NULL;
}

size_t saveseal_result_fact_count(const saveseal_result *result)
{
    const struct ss_inside *inside = inside_of(result);

    return inside ? inside->fact_count : 0;
}

const char *saveseal_result_fact_key(const saveseal_result *result, size_t index)
{
    const struct ss_fact *fact = fact_of(result, index);

    return fact ? fact->key : NULL;
}

const char *saveseal_result_fact_text(const saveseal_result *result, size_t index)
{
    const struct ss_fact *fact = fact_of(result, index);

    return fact ? fact->text : NULL;
}

const char *saveseal_result_fact(const saveseal_result *result, const char *key)
{
    for (size_t i = 0; key && i < saveseal_result_fact_count(result); i++)
        if (strcmp(saveseal_result_fact_key(result, i), key) == 0)
            return saveseal_result_fact_text(result, i);
    return NULL;
}
