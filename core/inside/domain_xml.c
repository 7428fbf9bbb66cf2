#include "domain_xml.h"

#include <errno.h>
#include <libxml/parser.h>
#include <libxml/xmlreader.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/util.h"

#define TAGS_MAX 65536
#define ATTRIBUTES_MAX 512 /* of one element */

/* What the reader is told about the first error, which is the one that matters. */
struct trouble {
    int line;
    char message[160];
};

static void note(void *context, const xmlError *error)
{
    struct trouble *trouble = context;

    if (trouble->message[0] || !error || !error->message || error->level < XML_ERR_ERROR)
        return;
    trouble->line = error->line;
    snprintf(trouble->message, sizeof trouble->message, "%.*s", (int)strcspn(error->message, "\n"), error->message);
}

static void stay_silent(void *context, const char *message, ...)
{
    (void)context;
    (void)message;
}

static bool is(const xmlChar *name, const char *wanted)
{
    return name && strcmp((const char *)name, wanted) == 0;
}

static void copy_attribute(xmlTextReader *reader, const char *name, char *to, size_t size)
{
    xmlChar *value = xmlTextReaderGetAttribute(reader, (const xmlChar *)name);

    if (value)
        snprintf(to, size, "%s", (const char *)value);
    xmlFree(value);
}

/* Where the text goes that comes next; size 0: nowhere. */
struct want {
    char *to;
    size_t size;
    char unit[16];
};

static void begin_element(xmlTextReader *reader, int depth, bool in_os, struct ss_domain_xml *domain, struct want *want)
{
    const xmlChar *name = xmlTextReaderConstLocalName(reader);

    *want = (struct want){0};
    if (depth == 0)
        copy_attribute(reader, "type", domain->type, sizeof domain->type);
    else if (depth == 2 && in_os && is(name, "type"))
        copy_attribute(reader, "machine", domain->machine, sizeof domain->machine);
    else if (depth == 1 && is(name, "name"))
        *want = (struct want){domain->name, sizeof domain->name, ""};
    else if (depth == 1 && is(name, "uuid"))
        *want = (struct want){domain->uuid, sizeof domain->uuid, ""};
    else if (depth == 1 && is(name, "vcpu"))
        *want = (struct want){domain->vcpus, sizeof domain->vcpus, ""};
    else if (depth == 1 && is(name, "memory")) {
        *want = (struct want){domain->memory, sizeof domain->memory, " KiB"};
        copy_attribute(reader, "unit", want->unit + 1, sizeof want->unit - 1);
    }
}

static void take_text(xmlTextReader *reader, struct want *want)
{
    const char *text = (const char *)xmlTextReaderConstValue(reader);

    if (want->size > 0 && text)
        snprintf(want->to, want->size, "%s%s", text, want->unit);
    *want = (struct want){0};
}

/* One node of the document. */
static void take_node(xmlTextReader *reader, struct ss_domain_xml *domain, bool *in_os, struct want *want)
{
    int depth = xmlTextReaderDepth(reader);

    switch (xmlTextReaderNodeType(reader)) {
    case XML_READER_TYPE_ELEMENT:
        if (depth == 1)
            *in_os = is(xmlTextReaderConstLocalName(reader), "os");
        begin_element(reader, depth, *in_os, domain, want);
        break;
    case XML_READER_TYPE_TEXT:
    case XML_READER_TYPE_CDATA:
        take_text(reader, want);
        break;
    default:
        *want = (struct want){0};
    }
}

/* Reads to the end. Returns 0 or -EBADMSG. root: of the first element. */
static int read_all(xmlTextReader *reader, const char *root, struct ss_domain_xml *domain, char *why, size_t why_size)
{
    struct want want = {0};
    bool in_os = false, began = false;
    int r;

    while ((r = xmlTextReaderRead(reader)) == 1) {
        if (!began && xmlTextReaderNodeType(reader) == XML_READER_TYPE_ELEMENT) {
            const xmlChar *name = xmlTextReaderConstLocalName(reader);
            began = true;
            if (!is(name, root)) {
                snprintf(why, why_size, "it is XML of <%.64s>, not of <%s>", (const char *)name, root);
                return -EBADMSG;
            }
        }
        if (domain)
            take_node(reader, domain, &in_os, &want);
    }
    return r == 0 && began ? 0 : -EBADMSG;
}

static int read_text(const char *text, size_t len, const char *root, struct ss_domain_xml *domain,
                     struct trouble *trouble, char *why, size_t why_size)
{
    xmlTextReader *reader = xmlReaderForMemory(text, (int)len, NULL, NULL, XML_PARSE_NONET);

    if (!reader)
        return -ENOMEM;
    xmlTextReaderSetStructuredErrorHandler(reader, (xmlStructuredErrorFunc)(void *)note, trouble);
    int r = read_all(reader, root, domain, why, why_size);
    if (r < 0 && !why[0])
        snprintf(why, why_size, "line %d: %s", trouble->line, trouble->message[0] ? trouble->message : "it is no XML");
    xmlFreeTextReader(reader);
    return r;
}

/* Returns where the mark has been passed, or the end. */
static const char *behind(const char *at, const char *end, const char *mark)
{
    const char *found = memmem(at, (size_t)(end - at), mark, strlen(mark));
    return found ? found + strlen(mark) : end;
}

/* Passes over what begins with the < at at, and counts its attributes if it is an element: their values are quoted, and
 * may have anything in them. Text may, too, so it is not counted. */
static const char *pass_markup(const char *at, const char *end, size_t *attributes)
{
    static const struct {
        const char *begin, *end;
    } no_elements[] = {{"<!--", "-->"}, {"<![CDATA[", "]]>"}, {"<?", "?>"}};

    *attributes = 0;
    for (size_t i = 0; i < SS_ARRAY_SIZE(no_elements); i++) {
        size_t len = strlen(no_elements[i].begin);
        if ((size_t)(end - at) >= len && memcmp(at, no_elements[i].begin, len) == 0)
            return behind(at + len, end, no_elements[i].end);
    }
    while (at < end && *at != '>') {
        bool quoted = *at == '"' || *at == '\'';
        const char *close = quoted ? memchr(at + 1, *at, (size_t)(end - at - 1)) : at;
        *attributes += quoted;
        at = close ? close + 1 : end;
    }
    return at;
}

/* Why the text would take libxml2 long: it compares each attribute of an element with all others of it, and each name
 * with those of the same hash; a document type may declare entities. NULL for what a machine may have. */
static const char *too_much(const char *text, size_t len)
{
    static const char declaration[] = "<!DOCTYPE";
    const char *at = text, *end = text + len;
    size_t tags = 0, attributes;

    if (memmem(text, len, declaration, sizeof declaration - 1))
        return "it declares a document type, which no domain does";
    while ((at = memchr(at, '<', (size_t)(end - at)))) {
        at = pass_markup(at, end, &attributes);
        tags++;
        if (attributes > ATTRIBUTES_MAX)
            return "an element has more attributes than are looked at";
    }
    return tags > TAGS_MAX ? "it has more elements than are looked at" : NULL;
}

static int parse(const char *text, size_t len, const char *root, struct ss_domain_xml *domain, char *why,
                 size_t why_size)
{
    static pthread_once_t initialised = PTHREAD_ONCE_INIT;
    struct trouble trouble = {0};

    /* The first use of libxml2 must not be two threads'. */
    pthread_once(&initialised, xmlInitParser);
    why[0] = '\0';
    const char *wrong = len == 0 ? "it is empty" : len > SS_DOMAIN_XML_MAX ? "it is too large" : too_much(text, len);
    if (wrong) {
        snprintf(why, why_size, "%s", wrong);
        return -EBADMSG;
    }
    /* What has no reader at hand when memory runs out goes to the thread's handlers, which are its caller's: by default
     * they print. */
    xmlStructuredErrorFunc handler = xmlStructuredError;
    xmlGenericErrorFunc plain = xmlGenericError;
    void *context = xmlStructuredErrorContext, *plain_context = xmlGenericErrorContext;
    xmlSetGenericErrorFunc(NULL, stay_silent);
    xmlSetStructuredErrorFunc(&trouble, (xmlStructuredErrorFunc)(void *)note);
    int r = read_text(text, len, root, domain, &trouble, why, why_size);
    xmlSetStructuredErrorFunc(context, handler);
    xmlSetGenericErrorFunc(plain_context, plain);
    return r;
}

int ss_domain_xml_parse(const char *text, size_t len, struct ss_domain_xml *domain, char *why, size_t why_size)
{
    memset(domain, 0, sizeof *domain);
    int r = parse(text, len, "domain", domain, why, why_size);
    if (r < 0)
        return r;
    if (domain->type[0] && domain->name[0])
        return 0;
    snprintf(why, why_size, "the domain has no %s", domain->type[0] ? "name" : "type");
    return -EBADMSG;
}

int ss_domain_xml_parse_cookie(const char *text, size_t len, char *why, size_t why_size)
{
    return parse(text, len, "cookie", NULL, why, why_size);
}
