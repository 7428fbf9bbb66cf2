#include "checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"

#define XML_BYTES_MAX ((size_t)16 << 20)
#define DISKS_MAX 1024 /* more than a machine has */

static bool is_named(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

/* The first child of that name from a node on, its brothers included; NULL when there is none. */
static xmlNode *first(xmlNode *node, const char *name)
{
    while (node && !is_named(node, name))
        node = node->next;
    return node;
}

static xmlNode *child(const xmlNode *node, const char *name)
{
    return node ? first(node->children, name) : NULL;
}

/* The caller frees it. NULL when there is none, also of a node that is NULL. */
static char *text_of(xmlChar *value)
{
    char *copy = value ? report_must(strdup((const char *)value)) : NULL;

    xmlFree(value);
    return copy;
}

static char *attribute(xmlNode *node, const char *name)
{
    return node ? text_of(xmlGetNoNsProp(node, (const xmlChar *)name)) : NULL;
}

static bool equal(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static void stay_silent(void *context, const xmlError *error)
{
    (void)context;
    (void)error; /* xmlGetLastError has it */
}

/* The whole file, which may be a pipe. Returns its length or -errno. */
static ssize_t read_file(const char *path, char **text)
{
    size_t len = 0;

    *text = report_must(malloc(XML_BYTES_MAX + 1));
    SS_AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    for (ssize_t n; (n = read(fd, *text + len, XML_BYTES_MAX + 1 - len)) != 0;) {
        if (n < 0 && errno != EINTR)
            return -errno;
        len += n > 0 ? (size_t)n : 0;
        if (len > XML_BYTES_MAX)
            return -EFBIG;
    }
    return (ssize_t)len;
}

/* No entities are put in, nothing is fetched, and libxml2's own limits hold. */
static xmlDoc *parse(const char *path, struct ss_judgement *why)
{
    SS_AUTO_FREE char *text = NULL;

    ssize_t len = read_file(path, &text);
    if (len < 0) {
        ss_judge_errno(why, (int)len);
        return NULL;
    }
    xmlSetStructuredErrorFunc(NULL, (xmlStructuredErrorFunc)(void *)stay_silent);
    xmlDoc *doc = xmlReadMemory(text, (int)len, NULL, NULL, XML_PARSE_NONET);
    if (doc && xmlDocGetRootElement(doc))
        return doc;
    const xmlError *error = xmlGetLastError();
    ss_judge(why, SS_REQUEST_REFUSED, "it is no XML: line %d: %.*s", error ? error->line : 0,
             error && error->message ? (int)strcspn(error->message, "\n") : 0,
             error && error->message ? error->message : "");
    xmlFreeDoc(doc);
    return NULL;
}

/* The root has to be of that name. */
static xmlDoc *parse_as(const char *path, const char *root, struct ss_judgement *why)
{
    xmlDoc *doc = parse(path, why);
    if (!doc || is_named(xmlDocGetRootElement(doc), root))
        return doc;
    ss_judge(why, SS_REQUEST_REFUSED, "it is XML of <%s>, not of <%s>", (const char *)xmlDocGetRootElement(doc)->name,
             root);
    xmlFreeDoc(doc);
    return NULL;
}

/* What the domain says of a disk, which goes by its target or by its file. */
static void look_up(xmlNode *domain, struct checkpoint_disk *disk)
{
    xmlNode *devices = child(domain, "devices");

    for (xmlNode *node = child(devices, "disk"); node && !disk->known; node = first(node->next, "disk")) {
        SS_AUTO_FREE char *target = attribute(child(node, "target"), "dev");
        SS_AUTO_FREE char *file = attribute(child(node, "source"), "file");
        if (!equal(target, disk->name) && !equal(file, disk->name))
            continue;
        disk->known = true;
        disk->type = attribute(child(node, "driver"), "type");
        disk->path = file ? report_must(strdup(file)) : NULL;
    }
}

static void add(struct checkpoint *checkpoint, const struct checkpoint_disk *disk)
{
    size_t size = (checkpoint->count + 1) * sizeof *disk;

    checkpoint->disks = report_must(realloc(checkpoint->disks, size));
    checkpoint->disks[checkpoint->count++] = *disk;
}

/* The name that the checkpoint gives its bitmaps, if a disk does not say otherwise. The caller frees it. */
static char *own_name(xmlNode *definition)
{
    xmlNode *name = child(definition, "name");

    return name ? text_of(xmlNodeGetContent(name)) : NULL;
}

/* Disks with checkpoint="no" take no part. False when the definition is wrong. */
static bool read_disks(xmlNode *definition, xmlNode *domain, struct checkpoint *checkpoint, struct ss_judgement *why)
{
    SS_AUTO_FREE char *name = own_name(definition);

    for (xmlNode *node = child(child(definition, "disks"), "disk"); node; node = first(node->next, "disk")) {
        SS_AUTO_FREE char *kind = attribute(node, "checkpoint");
        if (equal(kind, "no"))
            continue;
        struct checkpoint_disk disk = {.name = attribute(node, "name"), .bitmap = attribute(node, "bitmap")};
        if (!disk.bitmap && name)
            disk.bitmap = report_must(strdup(name));
        add(checkpoint, &disk);
        if (!disk.name || !disk.name[0] || !disk.bitmap || !disk.bitmap[0]) {
            ss_judge(why, SS_REQUEST_REFUSED, "a disk, or its bitmap, has no name");
            return false;
        }
        if (checkpoint->count > DISKS_MAX) {
            ss_judge(why, SS_REQUEST_REFUSED, "the checkpoint has more than %d disks", DISKS_MAX);
            return false;
        }
        struct checkpoint_disk *added = &checkpoint->disks[checkpoint->count - 1];
        look_up(domain, added);
        checkpoint->known += added->known;
    }
    return true;
}

static bool read_both(xmlNode *definition, xmlNode *domain, struct checkpoint *checkpoint, struct ss_judgement *why)
{
    if (!domain) {
        ss_judge(why, SS_REQUEST_REFUSED, "the definition has no <domain>: name the domain's XML, too");
        return false;
    }
    if (!read_disks(definition, domain, checkpoint, why))
        return false;
    if (checkpoint->known == 0)
        ss_judge(why, SS_REQUEST_REFUSED,
                 checkpoint->count == 0 ? "the checkpoint has no disk"
                                        : "the domain has none of the checkpoint's disks");
    return checkpoint->known > 0;
}

bool checkpoint_read(const char *path, const char *domain_path, struct checkpoint *checkpoint, const char **culprit,
                     struct ss_judgement *why)
{
    *checkpoint = (struct checkpoint){0};
    *culprit = path;
    xmlDoc *definition = parse_as(path, "domaincheckpoint", why);
    if (definition && domain_path)
        *culprit = domain_path;
    xmlDoc *other = definition && domain_path ? parse_as(domain_path, "domain", why) : NULL;
    bool good = definition && (other || !domain_path);
    if (good) {
        *culprit = path;
        xmlNode *top = xmlDocGetRootElement(definition);
        good = read_both(top, other ? xmlDocGetRootElement(other) : child(top, "domain"), checkpoint, why);
    }
    xmlFreeDoc(other);
    xmlFreeDoc(definition);
    xmlCleanupParser();
    return good;
}

void checkpoint_free(struct checkpoint *checkpoint)
{
    for (size_t i = 0; i < checkpoint->count; i++) {
        free(checkpoint->disks[i].name);
        free(checkpoint->disks[i].bitmap);
        free(checkpoint->disks[i].type);
        free(checkpoint->disks[i].path);
    }
    free(checkpoint->disks);
}
