/* libvirt's save image: src/qemu/qemu_saveimage.h in libvirt. What is checked comes in libvirt's order, and is told in
 * its words, where it has some. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/format.h"
#include "core/util.h"
#include "domain_xml.h"
#include "formats.h"
#include "libvirt_header.h"
#include "packed_stream.h"
#include "qemu_stream.h"

#define WHY_MAX 256
#define DONE_MAGIC "LibvirtQemudSave"

static bool matches(const unsigned char *head, size_t len, uint64_t size)
{
    struct ss_format_probe probe;

    ss_format_probe(head, len, size, &probe);
    return probe.format == SS_FORMAT_LIBVIRT;
}

/* The words of libvirt for a header that core/format.c calls incomplete, too. */
static const char *libvirt_says(const struct ss_job *job, const struct ss_format_probe *probe,
                                const struct ss_libvirt_header *header)
{
    if (probe->marked_partial)
        return "save image is incomplete";
    if (job->size < SS_LIBVIRT_HEADER_LEN)
        return "failed to read qemu header";
    if (header->data_len == 0)
        return "invalid header data length: 0";
    uint32_t xml_len = header->cookie_offset ? header->cookie_offset : header->data_len;
    return SS_LIBVIRT_HEADER_LEN + (uint64_t)xml_len > job->size ? "failed to read domain XML"
                                                                 : "failed to read cookie";
}

static void tell_header(const struct ss_job *job, const struct ss_libvirt_header *header)
{
    if (header->swapped)
        ss_job_fact(job, "byte-order", "%s", "foreign");
    ss_job_fact(job, "version", "%" PRIu32, header->version);
    ss_job_fact(job, "was-running", "%s", header->was_running ? "yes" : "no");
    const char *stream = ss_libvirt_stream_name(header->stream);
    if (stream)
        ss_job_fact(job, "stream", "%s", stream);
    ss_job_fact(job, "description-bytes", "%" PRIu32, header->data_len);
    ss_job_fact(job, "cookie", "%s", header->cookie_offset ? "yes" : "no");
}

/* How much of a string of len bytes is read. */
static size_t most(size_t len)
{
    return len < SS_DOMAIN_XML_MAX + 1 ? len : SS_DOMAIN_XML_MAX + 1;
}

/* Reads a string that lies in len bytes at off, up to its NUL. Returns 0 with *text, -EBADMSG when it has no end that
 * counts, with *text NULL, or another -errno. */
static int read_string(const struct ss_job *job, uint64_t off, size_t len, char **text, size_t *text_len)
{
    size_t size = most(len);

    *text = NULL;
    int r = ss_job_reserve(job, size * (1 + SS_DOMAIN_XML_MEMORY));
    if (r < 0)
        return r;
    *text = malloc(size + 1);
    if (!*text)
        return -ENOMEM;
    r = ss_job_read(job, off, *text, size);
    const char *end = r == 0 ? memchr(*text, '\0', size) : NULL;
    if (end) {
        *text_len = (size_t)(end - *text);
        return 0;
    }
    free(*text);
    *text = NULL;
    return r == 0 || r == -ENODATA ? -EBADMSG : r;
}

/* Says it when the XML at off is none. Returns 0 or -errno. */
static int check_xml(const struct ss_job *job, uint64_t off, size_t len)
{
    struct ss_domain_xml domain;
    SS_AUTO_FREE char *text = NULL;
    char why[WHY_MAX];
    size_t text_len = 0;

    int r = read_string(job, off, len, &text, &text_len);
    if (r == -EBADMSG)
        return ss_job_say(job, SS_DESCRIPTION_DAMAGED, "the domain XML has no end within its %zu bytes", most(len));
    if (r == 0)
        r = ss_domain_xml_parse(text, text_len, &domain, why, sizeof why);
    if (r == -EBADMSG)
        return ss_job_say(job, SS_DESCRIPTION_DAMAGED, "the domain XML can not be read: %s", why);
    if (r < 0)
        return r;
    ss_job_fact(job, "domain", "%s", domain.name);
    ss_job_fact(job, "type", "%s", domain.type);
    if (domain.uuid[0])
        ss_job_fact(job, "uuid", "%s", domain.uuid);
    if (domain.memory[0])
        ss_job_fact(job, "memory", "%s", domain.memory);
    if (domain.vcpus[0])
        ss_job_fact(job, "vcpus", "%s", domain.vcpus);
    return 0;
}

static int check_cookie(const struct ss_job *job, uint64_t off, size_t len)
{
    SS_AUTO_FREE char *text = NULL;
    char why[WHY_MAX];
    size_t text_len = 0;

    int r = read_string(job, off, len, &text, &text_len);
    if (r == -EBADMSG)
        return ss_job_say(job, SS_DESCRIPTION_DAMAGED, "the cookie has no end within its %zu bytes", most(len));
    if (r == 0)
        r = ss_domain_xml_parse_cookie(text, text_len, why, sizeof why);
    if (r == -EBADMSG)
        return ss_job_say(job, SS_DESCRIPTION_DAMAGED, "the cookie can not be read: %s", why);
    return r;
}

/* Returns 0 or -errno; what is wrong is said. */
static int check_description(const struct ss_job *job, const struct ss_libvirt_header *header)
{
    uint32_t cookie = header->cookie_offset;

    int r = check_xml(job, SS_LIBVIRT_HEADER_LEN, cookie ? cookie : header->data_len);
    if (r < 0 || job->inside->finding == SS_DESCRIPTION_DAMAGED || !cookie || cookie == header->data_len)
        return r;
    return check_cookie(job, SS_LIBVIRT_HEADER_LEN + (uint64_t)cookie, header->data_len - cookie);
}

static int check_stream(const struct ss_job *job, const struct ss_libvirt_header *header)
{
    uint64_t start = SS_LIBVIRT_HEADER_LEN + (uint64_t)header->data_len;

    if (header->stream == SS_LIBVIRT_RAW || header->stream == SS_LIBVIRT_SPARSE)
        return ss_qemu_stream_check(job, start, header->stream == SS_LIBVIRT_SPARSE);
    return ss_packed_stream_check(job, start, (enum ss_libvirt_stream)header->stream);
}

static int check(const struct ss_job *job)
{
    unsigned char bytes[SS_LIBVIRT_HEADER_LEN] = {0};
    struct ss_libvirt_header header;
    struct ss_format_probe probe;

    int r = ss_job_read(job, 0, bytes, job->size < sizeof bytes ? (size_t)job->size : sizeof bytes);
    if (r < 0 && r != -ENODATA)
        return r;
    ss_format_probe(bytes, sizeof bytes, job->size, &probe);
    if (probe.marked_partial && job->options->assume_done) {
        memcpy(bytes, DONE_MAGIC, sizeof DONE_MAGIC - 1);
        ss_format_probe(bytes, sizeof bytes, job->size, &probe);
    }
    ss_libvirt_header_decode(bytes, &header);
    bool known = job->size >= sizeof bytes && header.version <= SS_LIBVIRT_VERSION_MAX;
    if (known)
        tell_header(job, &header);
    if (probe.completion == SS_COMPLETION_PARTIAL)
        return ss_job_say(job, SS_FORMAT_INCOMPLETE, "%s: %s", libvirt_says(job, &probe, &header), probe.why);
    if (!known)
        return ss_job_say(job, SS_FORMAT_UNSUPPORTED, "image version is not supported (%" PRIu32 " > %d)",
                          header.version, SS_LIBVIRT_VERSION_MAX);
    if (!ss_libvirt_stream_name(header.stream))
        return ss_job_say(job, SS_FORMAT_UNSUPPORTED, "unsupported save image format: %" PRIu32, header.stream);
    if (header.was_running > 1)
        return ss_job_say(job, SS_HEADER_DAMAGED, "whether the machine was running is %" PRIu32 ", neither 0 nor 1",
                          header.was_running);
    r = check_description(job, &header);
    return r < 0 || job->inside->finding == SS_DESCRIPTION_DAMAGED ? r : check_stream(job, &header);
}

const struct ss_inside_format ss_inside_libvirt = {"libvirt", "libvirt save image", matches, check};
