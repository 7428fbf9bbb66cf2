/* zip, and what torch.save makes of it. A zip ends with a directory of its entries, which is written last. The
 * structure is looked at here, an entry at a time, so that memory does not grow with their number. Source: APPNOTE.TXT
 * of PKWARE, 6.3.10. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bytes.h"
#include "core/util.h"
#include "formats.h"
#include "window.h"
#include "zip_content.h"

#define LOCAL_SIGNATURE 0x04034b50U
#define ROW_SIGNATURE 0x02014b50U
#define END_SIGNATURE 0x06054b50U
#define END64_SIGNATURE 0x06064b50U
#define LOCATOR_SIGNATURE 0x07064b50U
#define LOCAL_LEN 30
#define ROW_LEN 46
#define END_LEN 22
#define END64_LEN 56
#define END64_HEAD 12 /* bytes that its own length does not count */
#define LOCATOR_LEN 20
#define COMMENT_MAX 65535
#define NAME_MAX_LEN 65535
#define VERSION_MAX 63
#define DISK_64 0xffff /* the disk's number is in the extra field */
#define EXTRA_64 1     /* the extra field that has what does not fit in 32 bits */
#define STEP_ENTRIES 0x400

enum {
    FLAG_ENCRYPTED = 0x1,
    FLAG_SIZES_LATER = 0x8,
    FLAG_PATCH = 0x20, /* of another file: only PKZIP can apply it */
    FLAG_ENCRYPTED_STRONGLY = 0x40,
    FLAG_ENCRYPTED_DIRECTORY = 0x2000,
    FLAGS_ENCRYPTED = FLAG_ENCRYPTED | FLAG_ENCRYPTED_STRONGLY | FLAG_ENCRYPTED_DIRECTORY,
};
enum { METHOD_STORED = 0, METHOD_DEFLATED = 8 };

struct zip {
    const struct ss_job *job;
    uint64_t directory_at, directory_len, entries;
    uint64_t end; /* where what comes after the directory begins */

    uint64_t bytes, taken;      /* of the contents; of the file's, by entries with their headers */
    uint64_t last_at, last_end; /* of the entry before */
    bool torch, encrypted, strange;
    struct ss_zip_content *content; /* NULL: only the structure is looked at */
    struct ss_window rows;
    unsigned char local[LOCAL_LEN + NAME_MAX_LEN];
};

/* What a row of the directory says of its entry. */
struct row {
    unsigned version, flags, method; /* version: of the format, that a reader needs */
    unsigned disk;
    uint32_t checksum;
    uint64_t packed, size, local_at;
    size_t name_len, extra_len, comment_len;
};

/* Sets the finding; the 1 tells that there is one. */
#define DAMAGED(zip, ...) (ss_job_say((zip)->job, SS_STRUCTURE_DAMAGED, __VA_ARGS__), 1)

static bool matches(const unsigned char *head, size_t len, uint64_t size)
{
    (void)size;
    return len >= 4 && (ss_le32(head) == LOCAL_SIGNATURE || ss_le32(head) == END_SIGNATURE);
}

/* ---- the end ---- */

/* Finds the last record, which has a comment of known length to the file's very end. Returns 0 with its place and
 * bytes, -ENODATA when there is none, or -errno. */
static int find_end(const struct zip *zip, unsigned char end[END_LEN], uint64_t *at)
{
    size_t len = zip->job->size < END_LEN + COMMENT_MAX ? (size_t)zip->job->size : END_LEN + COMMENT_MAX;

    SS_AUTO_FREE unsigned char *tail = malloc(len + 1);
    if (!tail)
        return -ENOMEM;
    int r = ss_job_read(zip->job, zip->job->size - len, tail, len);
    if (r < 0)
        return r;
    for (size_t i = len; i >= END_LEN; i--) {
        const unsigned char *record = tail + i - END_LEN;
        if (ss_le32(record) == END_SIGNATURE && ss_le16(record + 20) == len - i) {
            memcpy(end, record, END_LEN);
            *at = zip->job->size - len + i - END_LEN;
            return 0;
        }
    }
    return -ENODATA;
}

/* Replaces what the last record says by what the larger one does, if there is one. Each returns 0; 1 with a finding
 * said; or -errno. */
static int read_end64(struct zip *zip, uint64_t end_at)
{
    unsigned char locator[LOCATOR_LEN], end64[END64_LEN];

    if (end_at < LOCATOR_LEN)
        return 0;
    int r = ss_job_read(zip->job, end_at - LOCATOR_LEN, locator, sizeof locator);
    if (r < 0 || ss_le32(locator) != LOCATOR_SIGNATURE)
        return r;
    uint64_t at = ss_le64(locator + 8);
    r = ss_job_read(zip->job, at, end64, sizeof end64);
    if (r < 0 && r != -ENODATA)
        return r;
    if (r == -ENODATA || ss_le32(end64) != END64_SIGNATURE || at >= end_at)
        return DAMAGED(zip, "the end of its directory is not where its last record says");
    uint64_t room = end_at - LOCATOR_LEN; /* up to there it goes, with what may come to be in it */
    if (at > room || room - at < END64_LEN || ss_le64(end64 + 4) != room - at - END64_HEAD)
        return DAMAGED(zip, "the end of its directory is not as long as it says");
    if (ss_le32(locator + 4) != 0 || ss_le32(locator + 16) > 1 || ss_le32(end64 + 16) != ss_le32(end64 + 20) ||
        ss_le64(end64 + 24) != ss_le64(end64 + 32))
        return (ss_job_say(zip->job, SS_FORMAT_UNSUPPORTED, "it is one part of several"), 1);
    zip->entries = ss_le64(end64 + 32);
    zip->directory_len = ss_le64(end64 + 40);
    zip->directory_at = ss_le64(end64 + 48);
    zip->end = at;
    return 0;
}

static int read_end(struct zip *zip)
{
    unsigned char end[END_LEN];
    uint64_t at;

    int r = find_end(zip, end, &at);
    if (r == -ENODATA)
        return DAMAGED(zip, "its directory of entries, which is written last, has no end: the file was cut");
    if (r < 0)
        return r;
    if (ss_le16(end + 4) != ss_le16(end + 6) || ss_le16(end + 8) != ss_le16(end + 10))
        return (ss_job_say(zip->job, SS_FORMAT_UNSUPPORTED, "it is one part of several"), 1);
    zip->entries = ss_le16(end + 10);
    zip->directory_len = ss_le32(end + 12);
    zip->directory_at = ss_le32(end + 16);
    zip->end = at;
    r = read_end64(zip, at);
    if (r != 0)
        return r;
    if (zip->directory_at > zip->end || zip->directory_len != zip->end - zip->directory_at)
        return DAMAGED(zip, "its directory of entries is not where its last record says");
    if (zip->entries > zip->directory_len / ROW_LEN)
        return DAMAGED(zip, "its directory is too short for %" PRIu64 " entries", zip->entries);
    return 0;
}

/* ---- the directory ---- */

/* Takes the 64-bit numbers for those that are all ones. Returns false when they are not there. */
static bool read_extra(const unsigned char *extra, size_t len, struct row *row)
{
    uint64_t *const wanted[] = {&row->size, &row->packed, &row->local_at};
    size_t at = 0;

    while (len - at >= 4 && ss_le16(extra + at) != EXTRA_64) {
        size_t field = 4 + (size_t)ss_le16(extra + at + 2);
        if (field > len - at)
            break;
        at += field;
    }
    bool there = len - at >= 4 && ss_le16(extra + at) == EXTRA_64;
    size_t left = there ? ss_le16(extra + at + 2) : 0;
    at += 4;
    if (there && left > len - at)
        return false;
    for (size_t i = 0; i < SS_ARRAY_SIZE(wanted); i++) {
        if (*wanted[i] != UINT32_MAX)
            continue;
        if (left < 8)
            return !there; /* without the field the number may be meant */
        *wanted[i] = ss_le64(extra + at);
        at += 8;
        left -= 8;
    }
    return true;
}

/* All ones stand for a size that is in the extra field. */
static bool same_size(uint64_t size, uint32_t local)
{
    return local == UINT32_MAX || local == size;
}

static bool same_numbers(const struct row *row, const unsigned char *local)
{
    if (row->flags & FLAG_SIZES_LATER)
        return true;
    return ss_le32(local + 14) == row->checksum && same_size(row->packed, ss_le32(local + 18)) &&
           same_size(row->size, ss_le32(local + 22));
}

/* at: where the content of the entry begins. */
static int read_content(struct zip *zip, uint64_t number, const struct row *row, uint64_t at)
{
    const struct ss_zip_entry entry = {
        .at = at,
        .packed = row->packed,
        .size = row->size,
        .checksum = row->checksum,
        .deflated = row->method == METHOD_DEFLATED,
    };
    const char *why = NULL;

    int r = ss_zip_content_check(zip->content, &entry, &why);
    if (r == -EBADMSG)
        return DAMAGED(zip, "entry %" PRIu64 " of %" PRIu64 ": %s", number + 1, zip->entries, why);
    return r;
}

/* Is the header before the entry's content the same as its row in the directory? */
static int check_local(struct zip *zip, uint64_t number, const struct row *row, const unsigned char *name)
{
    const unsigned char *local = zip->local;

    if (!ss_job_holds(zip->job, row->local_at, LOCAL_LEN + row->name_len) ||
        row->local_at + LOCAL_LEN + row->name_len > zip->directory_at)
        return DAMAGED(zip, "entry %" PRIu64 " of %" PRIu64 " lies outside the file", number + 1, zip->entries);
    int r = ss_job_read(zip->job, row->local_at, zip->local, LOCAL_LEN + row->name_len);
    if (r < 0)
        return r;
    if (ss_le32(local) != LOCAL_SIGNATURE || ss_le16(local + 8) != row->method ||
        ss_le16(local + 26) != row->name_len || memcmp(local + LOCAL_LEN, name, row->name_len) != 0)
        return DAMAGED(zip, "entry %" PRIu64 " of %" PRIu64 " is not where the directory says", number + 1,
                       zip->entries);
    if (!same_numbers(row, local))
        return DAMAGED(zip, "entry %" PRIu64 " of %" PRIu64 " has two sizes or checksums", number + 1, zip->entries);
    uint64_t content = row->local_at + LOCAL_LEN + row->name_len + ss_le16(local + 28);
    if (content > zip->directory_at || row->packed > zip->directory_at - content)
        return DAMAGED(zip, "entry %" PRIu64 " of %" PRIu64 " is larger than the file", number + 1, zip->entries);
    zip->taken += content - row->local_at + row->packed;
    if (zip->taken > zip->directory_at || (row->local_at >= zip->last_at && row->local_at < zip->last_end))
        return DAMAGED(zip, "its entries overlap");
    zip->last_at = row->local_at;
    zip->last_end = content + row->packed;
    return zip->content ? read_content(zip, number, row, content) : 0;
}

static bool is_torch_name(const unsigned char *name, size_t len)
{
    static const char wanted[] = "/data.pkl";
    size_t wanted_len = sizeof wanted - 1;

    return len > wanted_len && memcmp(name + len - wanted_len, wanted, wanted_len) == 0 &&
           !memchr(name, '/', len - wanted_len);
}

static int check_row(struct zip *zip, uint64_t number, const unsigned char *bytes, const struct row *row)
{
    struct row full = *row;

    if (!read_extra(bytes + ROW_LEN + row->name_len, row->extra_len, &full))
        return DAMAGED(zip, "entry %" PRIu64 " of %" PRIu64 " has no size", number + 1, zip->entries);
    if (full.disk != 0 && full.disk != DISK_64)
        return DAMAGED(zip, "entry %" PRIu64 " of %" PRIu64 " is in another file", number + 1, zip->entries);
    if (full.method == METHOD_STORED && !(full.flags & FLAG_ENCRYPTED) && full.packed != full.size)
        return DAMAGED(zip, "entry %" PRIu64 " of %" PRIu64 " has two sizes", number + 1, zip->entries);
    zip->torch |= is_torch_name(bytes + ROW_LEN, row->name_len);
    zip->encrypted |= (full.flags & FLAGS_ENCRYPTED) != 0;
    zip->strange |= (full.flags & FLAG_PATCH) != 0;
    zip->strange |= (full.method != METHOD_STORED && full.method != METHOD_DEFLATED) || full.version > VERSION_MAX;
    if (__builtin_add_overflow(zip->bytes, full.size, &zip->bytes))
        return DAMAGED(zip, "its entries are larger than anything");
    return check_local(zip, number, &full, bytes + ROW_LEN);
}

static int check_rows(struct zip *zip)
{
    uint64_t at = zip->directory_at;
    const unsigned char *bytes;

    for (uint64_t i = 0; i < zip->entries; i++) {
        struct row row;
        if (zip->end - at < ROW_LEN)
            return DAMAGED(zip, "its directory ends before its entry %" PRIu64 " of %" PRIu64, i + 1, zip->entries);
        int r = ss_window_at(zip->job, &zip->rows, at, ROW_LEN, &bytes);
        if (r < 0)
            return r;
        row = (struct row){
            .version = bytes[6],
            .flags = ss_le16(bytes + 8),
            .method = ss_le16(bytes + 10),
            .checksum = ss_le32(bytes + 16),
            .packed = ss_le32(bytes + 20),
            .size = ss_le32(bytes + 24),
            .disk = ss_le16(bytes + 34),
            .name_len = ss_le16(bytes + 28),
            .extra_len = ss_le16(bytes + 30),
            .comment_len = ss_le16(bytes + 32),
            .local_at = ss_le32(bytes + 42),
        };
        uint64_t len = (uint64_t)ROW_LEN + row.name_len + row.extra_len + row.comment_len;
        if (ss_le32(bytes) != ROW_SIGNATURE || len > zip->end - at)
            return DAMAGED(zip, "entry %" PRIu64 " of %" PRIu64 " in its directory makes no sense", i + 1,
                           zip->entries);
        if (ROW_LEN + row.name_len + row.extra_len > SS_WINDOW_SIZE)
            return (ss_job_say(zip->job, SS_FORMAT_UNSUPPORTED, "an entry with a very long name"), 1);
        r = ss_window_at(zip->job, &zip->rows, at, ROW_LEN + row.name_len + row.extra_len, &bytes);
        if (r == 0)
            r = check_row(zip, i, bytes, &row);
        if (r == 0 && i % STEP_ENTRIES == 0)
            r = ss_job_step(zip->job, 0);
        if (r != 0)
            return r;
        at += len;
    }
    return at == zip->end ? 0 : DAMAGED(zip, "its directory has more than %" PRIu64 " entries", zip->entries);
}

/* Reads the content of all entries. Returns 0; 1 with a finding said; or -errno. */
static int check_content(struct zip *zip)
{
    zip->content = ss_zip_content_open(zip->job);
    if (!zip->content)
        return -ENOMEM;
    zip->taken = zip->bytes = zip->last_at = zip->last_end = 0;
    int r = check_rows(zip); /* once more: no list of them is kept */
    ss_zip_content_close(zip->content);
    return r;
}

/* ---- the answer ---- */

static int check_zip(struct zip *zip)
{
    const struct ss_job *job = zip->job;

    int r = read_end(zip);
    if (r == 0)
        r = check_rows(zip);
    if (r != 0)
        return r < 0 ? r : 0;
    if (zip->torch) {
        job->inside->kind = "torch-zip";
        job->inside->title = "PyTorch checkpoint";
    }
    ss_job_fact(job, "entries", "%" PRIu64, zip->entries);
    ss_job_fact(job, "bytes", "%" PRIu64, zip->bytes);
    if (!job->options->deep || zip->entries == 0)
        return ss_job_say(job, SS_COMPLETE, "%s", "");
    if (zip->encrypted || zip->strange)
        return ss_job_say(job, SS_FORMAT_UNSUPPORTED, "some entries are %s",
                          zip->encrypted ? "encrypted" : "of a kind that is not known");
    r = check_content(zip);
    return r != 0 ? (r < 0 ? r : 0) : ss_job_say(job, SS_COMPLETE, "%s", "");
}

static int check(const struct ss_job *job)
{
    SS_AUTO_FREE struct zip *zip = calloc(1, sizeof *zip);

    if (!zip)
        return -ENOMEM;
    zip->job = job;
    int r = check_zip(zip);
    return r == -ENODATA ? ss_job_say(job, SS_STRUCTURE_DAMAGED, "the file was cut while it was read") : r;
}

const struct ss_inside_format ss_inside_zip = {"zip", "zip archive", matches, check};
