/* saveseal show: the seal of an image or the record of a draft, in full, and what is known of its inside. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "command.h"
#include "core/scan.h"
#include "core/util.h"
#include "core/check/draftfile.h"
#include "core/check/image.h"
#include "facts.h"
#include "json_line.h"
#include "report.h"
#include "text.h"

static const char help[] = "Shows the seal of an image, or the record of a draft, in full, and what the\n"
                           "headers and tables inside tell: the domain, the format, the sizes. Nothing is\n"
                           "checked: that is what saveseal verify does. PATH may be a directory of CRIU.\n"
                           "\n"
                           "  --json      one JSON object\n"
                           "  -h, --help  this text\n"
                           "\n"
                           "Exit status: 0 shown; 1 the seal or record can not be read; 2 no such file,\n"
                           "not an image or draft, no permission; 3 temporary; 4 there is no seal, or it\n"
                           "is of a newer version.\n";

/* The attribute's line as it is on disk, for what this version does not understand; "" when there is none. NULs in it
 * become spaces. The caller frees it. */
static char *raw_line(int fd, const char *name)
{
    char *line = report_must(malloc(SS_RECORD_MAX + 1));

    ssize_t len = fgetxattr(fd, name, line, SS_RECORD_MAX);
    if (len < 0)
        len = 0;
    for (ssize_t i = 0; i < len; i++)
        if (line[i] == '\0')
            line[i] = ' ';
    line[len] = '\0';
    return line;
}

/* Headers, tables and ends only. False when they can not be read; a file that is being written may tell nothing of use.
 */
static bool look_inside(int fd, uint64_t size, struct ss_inside *inside)
{
    return ss_inside_check(fd, size, NULL, inside) == 0;
}

/* ---- for programs ---- */

static json_t *json_seal(const struct ss_seal *seal)
{
    json_t *object = json_line_object();
    char hex[SS_SHA256_HEX_SIZE];

    json_line_text(object, "format", ss_format_name(seal->format));
    json_line_number(object, "header", seal->header_len);
    ss_sha256_format(&seal->header, hex);
    json_line_text(object, "header_sha256", hex);
    json_line_number(object, "size", seal->size);
    if (seal->has_verity) {
        ss_sha256_format(&seal->verity, hex);
        json_line_text(object, "verity_sha256", hex);
    } else {
        json_line_null(object, "verity_sha256");
    }
    json_line_time(object, "sealed", seal->sealed);
    json_line_text(object, "writer", seal->writer);
    return object;
}

static json_t *json_record(const struct ss_draft_record *record)
{
    static const char *const states[] = {"writing", "waiting", "prepared", "interrupted"};
    json_t *object = json_line_object();

    json_line_text(object, "target", record->target);
    json_line_text(object, "state", states[record->state]);
    if (record->state == SS_DRAFT_INTERRUPTED)
        json_line_text(object, "reason", ss_finding_text(record->reason)->id);
    else
        json_line_null(object, "reason");
    json_line_text(object, "detail", record->detail);
    json_line_text(object, "writer", record->writer);
    json_line_signed(object, "pid", record->pid);
    json_line_number(object, "start", record->start);
    json_line_text(object, "boot", record->boot);
    json_line_text(object, "host", record->host);
    json_line_time(object, "opened", record->opened);
    json_line_bool(object, "exclusive", record->exclusive);
    return object;
}

/* ---- for people ---- */

/* One "  key:  value" line; an empty value is left out. */
static void print_field(const char *key, const char *value)
{
    SS_AUTO_FREE char *safe = text_safe(value);

    if (*safe)
        printf("  %-15s%s\n", key, safe);
}

static void print_size(const char *key, uint64_t size)
{
    char human[TEXT_SIZE_MAX];

    text_size(size, human);
    if (size < 1024)
        printf("  %-15s%" PRIu64 " bytes\n", key, size);
    else
        printf("  %-15s%" PRIu64 " bytes (%s)\n", key, size, human);
}

static void print_time(const char *key, time_t when)
{
    char text[TEXT_TIME_MAX];

    text_time(when, text);
    print_field(key, text);
}

static void print_seal(const struct ss_seal *seal)
{
    char hex[SS_SHA256_HEX_SIZE];

    print_field("format:", ss_format_name(seal->format));
    print_size("size:", seal->size);
    print_size("header:", seal->header_len);
    ss_sha256_format(&seal->header, hex);
    print_field("header-sha256:", hex);
    if (seal->has_verity)
        ss_sha256_format(&seal->verity, hex);
    print_field("verity-sha256:", seal->has_verity ? hex : "none: the seal covers the header only");
    print_time("sealed:", seal->sealed);
    print_field("writer:", seal->writer);
}

static void print_record(const struct ss_draft_record *record)
{
    SS_AUTO_FREE char *target = text_quote(record->target);

    print_field("target:", target);
    print_field("writer:", record->writer);
    if (record->pid > 0)
        printf("  %-15s%d\n", "pid:", (int)record->pid);
    print_field("host:", record->host);
    print_field("boot:", record->boot);
    print_time("opened:", record->opened);
    if (record->exclusive)
        print_field("exclusive:", "yes: it must not replace a file of that name");
}

/* ---- images ---- */

/* seal and inside may be NULL. */
static void print_image(const char *path, const struct ss_seal *seal, uint64_t size, const char *line,
                        const struct ss_inside *inside)
{
    SS_AUTO_FREE char *name = text_quote(path);

    printf("%s: %s\n", name,
           seal    ? "sealed image"
           : *line ? "image whose seal can not be read"
                   : "image without a seal");
    if (seal)
        print_seal(seal);
    if (!seal || size != seal->size)
        print_size(seal ? "now:" : "size:", size);
    print_field("record:", line);
    if (inside)
        facts_print(inside);
}

/* What is no file may be a directory that is an image: it has no seal, nor can it have one. False when it is none that
 * is known. */
static bool look_inside_directory(const char *path, struct ss_inside *inside, struct ss_judgement *why)
{
    SS_AUTO_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);

    int r = dir < 0 ? -errno : ss_inside_check_directory(dir, NULL, inside);
    if (r < 0 && r != -EINVAL && r != -ENOTDIR)
        ss_judge_errno(why, r);
    return r == 0;
}

static enum ss_class show_directory(const char *path, const struct ss_inside *inside, bool json)
{
    if (json) {
        json_t *object = json_line_file(path, "image");
        json_line_put(object, "inside", facts_json(inside));
        json_line_print(object);
    } else {
        SS_AUTO_FREE char *name = text_quote(path);
        printf("%s: directory that is an image\n", name);
        facts_print(inside);
    }
    return SS_CLASS_INTACT;
}

static enum ss_class show_image(const char *path, bool json)
{
    SS_AUTO_CLOSE int fd = -1;
    struct ss_judgement why;
    struct ss_inside inside;
    struct ss_seal seal;
    uint64_t size = 0;

    bool opened = ss_image_open(path, &fd, &size, &why);
    if (!opened && why.finding == SS_NOT_A_FILE && look_inside_directory(path, &inside, &why))
        return show_directory(path, &inside, json);
    bool sealed = opened && ss_image_seal(fd, &seal, &why);
    bool looked = opened && look_inside(fd, size, &inside);
    SS_AUTO_FREE char *line = opened ? raw_line(fd, SS_SEAL_XATTR) : report_format("%s", "");
    if (!json) {
        if (opened)
            print_image(path, sealed ? &seal : NULL, size, line, looked ? &inside : NULL);
        return sealed ? SS_CLASS_INTACT : report_judgement(path, &why);
    }
    json_t *object = json_line_file(path, "image");
    if (opened)
        json_line_number(object, "size", size);
    if (sealed)
        json_line_put(object, "seal", json_seal(&seal));
    else
        json_line_judgement(object, &why);
    if (*line)
        json_line_text(object, "record", line);
    if (looked)
        json_line_put(object, "inside", facts_json(&inside));
    json_line_print(object);
    return sealed ? SS_CLASS_INTACT : ss_finding_text(why.finding)->class;
}

/* ---- drafts ---- */

struct draft_view {
    const struct ss_draftfile *draft;
    const struct ss_scan_entry *entry;
    const struct ss_seal *seal; /* NULL: none */
    const char *line;
    const struct ss_inside *inside; /* NULL: it can not be read */
};

static void print_draft(const char *path, const struct draft_view *view)
{
    SS_AUTO_FREE char *name = text_quote(path);
    SS_AUTO_FREE char *reason = report_format("%s: %s", ss_finding_text(view->entry->finding)->id,
                                              ss_finding_text(view->entry->finding)->sentence);

    printf("%s: draft\n", name);
    print_field("state:", ss_state_name(view->entry->state));
    print_field("reason:", reason);
    print_field("detail:", view->entry->detail);
    print_field("advice:", ss_finding_text(view->entry->finding)->advice);
    print_size("size:", view->entry->size);
    if (view->draft->record_error == 0)
        print_record(&view->draft->record);
    print_field("record:", view->line);
    if (view->seal) {
        printf("its seal:\n");
        print_seal(view->seal);
    }
    if (view->inside)
        facts_print(view->inside);
}

static void print_draft_json(const char *path, const struct draft_view *view)
{
    json_t *object = json_line_file(path, "draft");

    json_line_text(object, "id", view->entry->id);
    json_line_text(object, "state", ss_state_name(view->entry->state));
    json_line_text(object, "reason", ss_finding_text(view->entry->finding)->id);
    json_line_text(object, "detail", view->entry->detail);
    json_line_text(object, "advice", ss_finding_text(view->entry->finding)->advice);
    json_line_number(object, "size", view->entry->size);
    json_line_number(object, "allocated", view->entry->allocated);
    if (view->draft->record_error == 0)
        json_line_put(object, "draft", json_record(&view->draft->record));
    if (view->seal)
        json_line_put(object, "seal", json_seal(view->seal));
    if (*view->line)
        json_line_text(object, "record", view->line);
    if (view->inside)
        json_line_put(object, "inside", facts_json(view->inside));
    json_line_print(object);
}

static enum ss_class fail_draft(const char *path, const struct ss_judgement *why, bool json)
{
    if (!json)
        return report_judgement(path, why);
    json_t *object = json_line_file(path, "draft");
    json_line_judgement(object, why);
    json_line_print(object);
    return ss_finding_text(why->finding)->class;
}

static enum ss_class show_draft(const char *path, bool json)
{
    SS_DRAFTFILE_AUTO_CLOSE struct ss_draftfile draft = SS_DRAFTFILE_NONE;
    struct ss_scan_entry entry;
    struct ss_judgement why;
    struct ss_inside inside;
    struct ss_seal seal;

    if (!ss_draftfile_open(path, SS_DRAFTFILE_READ, &draft, &why))
        return fail_draft(path, &why, json);
    int r = ss_scan_file(draft.place.dir, draft.name, &entry);
    if (r < 0) {
        ss_judge_errno(&why, r);
        return fail_draft(path, &why, json);
    }
    SS_AUTO_FREE char *line = raw_line(draft.fd, SS_DRAFT_XATTR);
    struct draft_view view = {
        .draft = &draft,
        .entry = &entry,
        .seal = ss_seal_read(draft.fd, &seal) == 0 ? &seal : NULL,
        .line = line,
        .inside = look_inside(draft.fd, (uint64_t)draft.st.st_size, &inside) ? &inside : NULL,
    };
    if (json)
        print_draft_json(path, &view);
    else
        print_draft(path, &view);
    if (draft.record_error == 0)
        return SS_CLASS_INTACT;
    return entry.state == SS_STATE_WRITING ? SS_CLASS_TEMPORARY : ss_finding_text(entry.finding)->class;
}

static enum ss_class run(int argc, char **argv)
{
    bool json = false;
    const struct command_flag flags[] = {{"json", &json, NULL}, {NULL, NULL, NULL}};
    enum ss_class class;

    int first = command_parse(&command_show, argc, argv, flags, 1, 1, &class);
    if (first < 0)
        return class;
    return ss_draftfile_named(argv[first]) ? show_draft(argv[first], json) : show_image(argv[first], json);
}

const struct command command_show = {"show", "[--json] PATH", "show the seal of an image or a draft's record", help,
                                     run};
