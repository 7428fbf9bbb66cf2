#include "checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"

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

/* No entities are put in, nothing is fetched, and libxml2's own limits hold. The root of another kind is refused. */
static xmlDoc *parse(const char *path, const char *root, struct judgement *why)
{
    SS_AUTO_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0) {
        judge_errno(why, -errno);
        return NULL;
    }
    xmlDoc *doc = xmlReadFd(fd, path, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    xmlNode *top = doc ? xmlDocGetRootElement(doc) : NULL;
    if (top && is_named(top, root))
        return doc;
    const xmlError *error = xmlGetLastError();
    if (top)
        judge(why, SS_REQUEST_REFUSED, "it is XML of <%s>, not of <%s>", (const char *)top->name, root);
    else
        judge(why, SS_REQUEST_REFUSED, "it is no XML of <%s>: line %d: %.*s", root, error ? error->line : 0,
              error && error->message ? (int)strcspn(error->message, "\n") : 0,
              error && error->message ? error->message : "");
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
        SS_AUTO_FREE char *device = attribute(child(node, "source"), "dev");
        const char *source = file ? file : device;
        if (!equal(target, disk->name) && !equal(source, disk->name))
            continue;
        disk->known = true;
        disk->type = attribute(child(node, "driver"), "type");
        disk->path = source ? report_must(strdup(source)) : NULL;
    }
}

static void add(struct checkpoint *checkpoint, const struct checkpoint_disk *disk)
{
    size_t size = (checkpoint->count + 1) * sizeof *disk;

    checkpoint->disks = report_must(realloc(checkpoint->disks, size));
    checkpoint->disks[checkpoint->count++] = *disk;
}

/* Disks with checkpoint="no" take no part. */
static void read_disks(xmlNode *definition, xmlNode *domain, struct checkpoint *checkpoint)
{
    xmlNode *name = child(definition, "name");
    SS_AUTO_FREE char *own_name = name ? text_of(xmlNodeGetContent(name)) : NULL;

    for (xmlNode *node = child(child(definition, "disks"), "disk"); node; node = first(node->next, "disk")) {
        SS_AUTO_FREE char *kind = attribute(node, "checkpoint");
        struct checkpoint_disk disk = {.name = attribute(node, "name"), .bitmap = attribute(node, "bitmap")};
        if (!disk.bitmap && own_name)
            disk.bitmap = report_must(strdup(own_name));
        if (equal(kind, "no") || !disk.name || !disk.bitmap) {
            free(disk.name);
            free(disk.bitmap);
            continue;
        }
        look_up(domain, &disk);
        add(checkpoint, &disk);
    }
}

bool checkpoint_read(const char *path, const char *domain_path, struct checkpoint *checkpoint, struct judgement *why)
{
    *checkpoint = (struct checkpoint){0};
    xmlDoc *definition = parse(path, "domaincheckpoint", why);
    xmlDoc *other = definition && domain_path ? parse(domain_path, "domain", why) : NULL;
    bool good = definition && (other || !domain_path);
    if (good) {
        xmlNode *top = xmlDocGetRootElement(definition);
        xmlNode *domain = other ? xmlDocGetRootElement(other) : child(top, "domain");
        read_disks(top, domain, checkpoint);
        good = domain != NULL && checkpoint->count > 0;
        if (!domain)
            judge(why, SS_REQUEST_REFUSED, "the definition has no <domain>: name the domain's XML, too");
        else if (!good)
            judge(why, SS_REQUEST_REFUSED, "the checkpoint has no disk");
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
