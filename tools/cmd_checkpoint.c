/* saveseal checkpoint-check: can an incremental backup rely on a checkpoint, disk for disk? */
#include <stdio.h>
#include <string.h>

#include "checkpoint.h"
#include "command.h"
#include "core/check/bitmap.h"
#include "core/util.h"
#include "json_line.h"
#include "report.h"
#include "text.h"

static const char help[] = "Checks the bitmap of each disk of a checkpoint, down its backing chain.\n"
                           "CHECKPOINT is the file that virsh checkpoint-dumpxml prints; DOMAIN is the\n"
                           "domain's XML as it is now (virsh dumpxml): that in the definition is from when\n"
                           "it was made, and counts only without DOMAIN.\n"
                           "\n"
                           "  --json      one JSON object a line for each disk, then a summary\n"
                           "  -h, --help  this text\n"
                           "\n"
                           "Exit status: 0 the checkpoint can be relied on; 5 a bitmap is missing or broken:\n"
                           "take a full backup; 2 the request is wrong (a disk of another format, a file\n"
                           "that is not there); 3 try again later; 4 a disk is not on this host. Of several\n"
                           "the worst, in the order 1 5 2 3 4 0.\n";

static void check(const struct checkpoint_disk *disk, struct ss_judgement *why)
{
    const struct ss_bitmap_question asked = {
        .name = disk->bitmap, .disk = disk->name, .format = disk->type ? disk->type : "raw"};
    uint64_t size;

    if (!disk->known)
        ss_judge(why, SS_LEFT_OUT, "%s", ""); /* as libvirt has it: it may have been detached */
    else if (!disk->path)
        ss_judge(why, SS_NOT_LOCAL, "%s", "");
    else
        ss_bitmap_check(disk->path, &asked, &size, why);
}

static void print_object(const struct checkpoint_disk *disk, const struct ss_judgement *why)
{
    json_t *object = json_line_object();

    json_line_text(object, "disk", disk->name);
    json_line_text(object, "bitmap", disk->bitmap);
    if (disk->path)
        json_line_text(object, "path", disk->path);
    json_line_judgement(object, why);
    json_line_print(object);
}

static void print_line(const struct checkpoint_disk *disk, const struct ss_judgement *why)
{
    SS_AUTO_FREE char *name = text_quote(disk->name);
    SS_AUTO_FREE char *text = why->finding == SS_INTACT ? NULL : judgement_text(why);

    SS_AUTO_FREE char *path = text_quote(disk->path ? disk->path : "");

    printf("%s%s%s%s: %s\n", name, disk->path ? " (" : "", disk->path ? path : "", disk->path ? ")" : "",
           text ? text : "the bitmap is good");
}

static enum ss_class run(int argc, char **argv)
{
    bool json = false;
    const struct command_flag flags[] = {{"json", &json, NULL}, {NULL, NULL, NULL}};
    struct checkpoint checkpoint;
    struct ss_judgement why;
    enum ss_class class;

    int at = command_parse(&command_checkpoint, argc, argv, flags, 1, 2, &class);
    if (at < 0)
        return class;
    const char *culprit, *domain = at + 1 < argc ? argv[at + 1] : NULL;
    if (!checkpoint_read(argv[at], domain, &checkpoint, &culprit, &why)) {
        checkpoint_free(&checkpoint);
        return report_judgement(culprit, &why);
    }
    class = SS_CLASS_INTACT;
    for (size_t i = 0; i < checkpoint.count; i++) {
        check(&checkpoint.disks[i], &why);
        (json ? print_object : print_line)(&checkpoint.disks[i], &why);
        class = ss_class_worse(class, ss_finding_text(why.finding)->class);
    }
    checkpoint_free(&checkpoint);
    if (json) {
        json_t *summary = json_line_object();
        json_line_number(summary, "exit", (uint64_t) class);
        json_line_print(summary);
    }
    return class;
}

const struct command command_checkpoint = {"checkpoint-check", "[--json] CHECKPOINT.xml [DOMAIN.xml]",
                                           "say whether a checkpoint can be relied on", help, run};
