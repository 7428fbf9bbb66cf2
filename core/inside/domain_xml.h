/* The two pieces of XML in a libvirt save image: the domain, and what libvirt noted for itself (the cookie). */
#ifndef SAVESEAL_CORE_INSIDE_DOMAIN_XML_H
#define SAVESEAL_CORE_INSIDE_DOMAIN_XML_H

#include <stddef.h>

#define SS_DOMAIN_XML_MAX ((size_t)4 << 20) /* bytes: what libvirt's protocol lets through; most are some KiB */
#define SS_DOMAIN_XML_MEMORY 6              /* times its length: what parsing one takes at most */

/* What people want to know of a domain, each "" if it does not say. */
struct ss_domain_xml {
    char type[32]; /* "kvm" */
    char name[256];
    char uuid[40];
    char memory[48]; /* with its unit: "131072 KiB" */
    char vcpus[16];
    char machine[64]; /* "pc-i440fx-7.2" */
};

/* Parses len bytes of XML, which have to have a <domain> with a type and a name at their root: libvirt takes no other.
 * Nothing is fetched and no entity is put in; memory does not grow with what the text says. Returns 0, -EBADMSG with
 * why it is none, or -ENOMEM. Thread-safe. */
int ss_domain_xml_parse(const char *text, size_t len, struct ss_domain_xml *domain, char *why, size_t why_size);

/* The same for a cookie, which has <cookie> at its root. */
int ss_domain_xml_parse_cookie(const char *text, size_t len, char *why, size_t why_size);

#endif
